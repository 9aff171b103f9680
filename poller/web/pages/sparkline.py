"""Sparklines: small SVG paths made on the server, so that they need no script, follow the theme, and print."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from poller.core.chart_scale import scale

if TYPE_CHECKING:
    from collections.abc import Sequence


def sparkline(
    values: Sequence[float | None], step: int = 4, height: int = 20, bounds: tuple[float, float] | None = None
) -> str:
    """The `d` of a path with one point each `step` units; None is a gap, and a reading between two gaps a dot.

    A dot is a line of no length, which a round line cap makes visible. An empty string where nothing is known.
    `bounds`: the lowest and highest value that it shows, where several lines share a scale.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = bounds or scale(known)
    unit = (height - 2) / (high - low)
    levels = [None if value is None else height - 1 - round((value - low) * unit) for value in values]
    path: list[str] = []
    place = 0
    while place < len(levels):
        first = levels[place]
        end = place + 1
        while first is not None and end < len(levels) and levels[end] is not None:
            end += 1
        if first is not None:
            path.append(f"M{place * step} {first}")
            path.append(_line([level for level in levels[place:end] if level is not None], step) or "h0")
        place = end
    return "".join(path)


def _line(levels: Sequence[int], step: int) -> str:
    """The steps from the first level to the last; relative, and level ones in one, so that they are few bytes."""
    parts: list[str] = []
    flat = 0
    for before, level in itertools.pairwise(levels):
        if level == before:
            flat += step
            continue
        if flat:
            parts.append(f"h{flat}")
            flat = 0
        parts.append(f"l{step} {level - before}".replace(" -", "-"))
    if flat:
        parts.append(f"h{flat}")
    return "".join(parts)
