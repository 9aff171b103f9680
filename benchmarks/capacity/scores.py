"""How good forecasts were: errors, intervals and run-out days, against what came next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.capacity.cuts import Cut

HORIZONS: Final = (7, 30, 90)
_NEVER: Final = 10**6
_MISS: Final = 2 / (1 - 0.8)


class Scores(NamedTuple):
    """Means over some series, one figure a horizon; interval scores and errors are in the series' own units."""

    errors: list[float]
    holds80: list[float]
    holds95: list[float]
    interval: list[float]


class RunOuts(NamedTuple):
    """Shares of the cases: inside the 80 % and the 95 % lines, with a day named, and named days that never came."""

    cases: int
    inside80: float
    inside95: float
    named: float
    wrong: float


def score(cuts: Sequence[Cut], lines: NDArray[np.float64], places: Sequence[int]) -> Scores:
    scores = Scores([], [], [], [])
    for horizon in HORIZONS:
        rows = []
        for place in places:
            future = cuts[place].future
            if len(future) < horizon or np.isnan(truth := future[horizon - 1]):
                continue
            mean, low, high, low95, high95 = lines[place, horizon - 1]
            miss = max(low - truth, truth - high, 0.0)
            unit = cuts[place].scale
            rows.append(
                (
                    abs(truth - mean) / unit,
                    low <= truth <= high,
                    low95 <= truth <= high95,
                    (high - low + _MISS * miss) / unit,
                )
            )
        for column, figure in zip(scores, np.mean(rows, axis=0).tolist(), strict=True):
            column.append(figure)
    return scores


def run_outs(cuts: Sequence[Cut], lines: NDArray[np.float64]) -> RunOuts:
    """Of every series whose whole year is known, for each number of seats."""
    rows = []
    for cut, (mean, low, high, low95, high95) in zip(cuts, lines.transpose(0, 2, 1), strict=True):
        if len(cut.future) < lines.shape[1]:
            continue
        for seats in cut.seats:
            day = first(cut.future, seats)
            inside80 = first(high, seats) <= day <= first(low, seats)
            named = first(mean, seats) < _NEVER
            inside95 = first(high95, seats) <= day <= first(low95, seats)
            rows.append((inside80, inside95, named, named and day == _NEVER))
    inside80, inside95, named, wrong = np.mean(rows, axis=0).tolist()
    return RunOuts(len(rows), inside80, inside95, named, wrong / max(named, 1e-9))


def first(line: NDArray[np.float64], seats: float) -> int:
    """The first day a line reaches the seats, 1 for tomorrow."""
    reached = np.flatnonzero(line >= seats)
    return int(reached[0]) + 1 if len(reached) else _NEVER
