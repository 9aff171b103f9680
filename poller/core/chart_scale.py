"""What every chart needs: the range of its scale, round numbers on it, and where a line of counts breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST_SPAN: Final = 0.10
"""The height of a chart is at least this share of the level, so that noise looks like noise."""
_TICKS: Final = 5


def scale(known: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value that a chart of these values shows: at least a tenth of the level apart."""
    low, high = min(known), max(known)
    least = max(LEAST_SPAN * max(abs(low), abs(high)), 1.0)
    if high - low >= least:
        return low, high
    middle = (low + high) / 2
    return middle - least / 2, middle + least / 2


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers that divide the scale into about five parts, whole users at least."""
    rough = max((high - low) / _TICKS, 1.0)
    power = 10 ** (len(f"{rough:.0f}") - 1)
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = int(low // step)
    ticks = [first * step]
    while ticks[-1] < high:
        ticks.append(ticks[-1] + step)
    return [float(tick) for tick in ticks]


def runs(values: Sequence[float | None]) -> Iterator[list[int]]:
    """The places of known values that follow each other."""
    run: list[int] = []
    for place, value in enumerate(values):
        if value is not None:
            run.append(place)
        elif run:
            yield run
            run = []
    if run:
        yield run
