"""Chooses the step of a series: the shortest one with few enough points for a chart."""

from __future__ import annotations

import math
from typing import Final

from poller.core.durations import DAY_SECONDS

MOST_POINTS: Final = 2_000
"""The most points of one user type: more than a chart has pixels across."""
HOUR_SECONDS: Final = 3_600
_DAYS: Final = (DAY_SECONDS, 7 * DAY_SECONDS, 28 * DAY_SECONDS, 364 * DAY_SECONDS)


def resolution(span_seconds: float, shortest_seconds: int, *, only_days: bool = False) -> int:
    """Returns the step in seconds: `shortest_seconds` if a span of that length then has at most `MOST_POINTS` points.

    Else an hour, a day, a week, four weeks or 52 weeks, the first that fits. `only_days`: nothing shorter than a day.
    """
    steps = [step for step in (shortest_seconds, HOUR_SECONDS, *_DAYS) if step >= shortest_seconds]
    for step in steps:
        # The first and the last step may begin before the span and end after it.
        if (not only_days or step % DAY_SECONDS == 0) and math.ceil(span_seconds / step) < MOST_POINTS:
            return step
    return max(steps[-1], _DAYS[-1])
