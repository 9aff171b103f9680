"""Turns loose readings (series, day, value) into dense daily histories for forecasting."""

from __future__ import annotations

from array import array  # noqa: TC003 - in the signature of a public function
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poller.analysis.history import MOST_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.analysis.history import Vector


class History(NamedTuple):
    """One series: its index, the ordinal of its last known day, and a value for each day up to it, NaN if unknown."""

    series: int
    last_day: int
    values: Vector


def histories(series: array[int], days: array[int], values: array[float]) -> list[History]:
    """Histories by the index of their series; three arrays of equal length, days as ordinals, NaN for unknown.

    If a day occurs twice, the later reading counts. A series without any known value is left out.
    """
    known = ~np.isnan(np.frombuffer(values, dtype=np.float64)) if len(values) else np.zeros(0, dtype=bool)
    if not known.any():
        return []
    which = np.frombuffer(series, dtype=np.int32)[known]
    when = np.frombuffer(days, dtype=np.int32)[known]
    what = np.frombuffer(values, dtype=np.float64)[known]
    order = np.lexsort((when, which))
    which, when, what = which[order], when[order], what[order]
    edges = np.flatnonzero(np.diff(which)) + 1
    return [
        _dense(int(which[start]), when[start:end], what[start:end])
        for start, end in zip([0, *edges], [*edges, len(which)], strict=True)
    ]


def _dense(series: int, days: np.ndarray[tuple[int], np.dtype[np.int32]], values: Vector) -> History:
    last = int(days[-1])
    recent = days > last - MOST_DAYS
    days, values = days[recent], values[recent]
    dense = np.full(last - int(days[0]) + 1, np.nan)
    # The days are sorted, and of equal days the last one is written last.
    dense[days - days[0]] = values
    return History(series, last, dense)


def dense(days: Sequence[int], values: Sequence[float], first: int | None = None, last: int | None = None) -> Vector:
    """One value per day from `first` to `last` (ordinals; default: first and last of `days`), NaN for unknown.

    `days` are in order; at least one.
    """
    first, last = days[0] if first is None else first, days[-1] if last is None else last
    history = np.full(last - first + 1, np.nan)
    history[np.asarray(days) - first] = values
    return history


def unknown(days: int) -> Vector:
    """A history of `days` unknown days."""
    return np.full(days, np.nan)
