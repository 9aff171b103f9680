"""The day on which a forecast reaches the seats an org has bought, with the earliest and the latest likely day."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.forecast import Forecasts
    from poller.analysis.history import Matrix, Vector


class RunOut(NamedTuple):
    """The day when seats run out, in days ahead: 1 is tomorrow; 0: not within the horizon.

    `low`: the first day the high line reaches the seats. `high`: the first day the low line does. `day`: the first day
    the mean does. Callers name a day only if `day` is not 0.
    """

    day: np.ndarray[tuple[int], np.dtype[np.int64]]
    low: np.ndarray[tuple[int], np.dtype[np.int64]]
    high: np.ndarray[tuple[int], np.dtype[np.int64]]


def run_out(mean: Matrix, low: Matrix, high: Matrix, seats: Vector) -> RunOut:
    """When the lines of a forecast (one row per series, one column per day) reach `seats`; NaN: never."""
    return RunOut(_first(mean, seats), _first(high, seats), _first(low, seats))


def _first(line: Matrix, seats: Vector) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    reached = line >= seats[:, None]
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)


def run_out_days(forecasts: Forecasts, row: int, seats: int | None) -> tuple[int, int, int]:
    """The day, the earliest and the latest day of one row by its 80 % lines; 0: not within the horizon, or no seats."""
    if seats is None:
        return 0, 0, 0
    one = slice(row, row + 1)
    found = run_out(forecasts.mean[one], forecasts.low80[one], forecasts.high80[one], np.array([float(seats)]))
    return int(found.day[0]), int(found.low[0]), int(found.high[0])
