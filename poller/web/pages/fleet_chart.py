"""The chart of the whole fleet: days on which some orgs are unknown are dashed, and never look like a fall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.chart_scale import scale
from poller.web.pages.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.query.fleet_summary import FleetDay

STEP: Final = 4
HEIGHT: Final = 64
_TICK: Final = 4
_LARGEST_MOVE: Final = 0.01
"""Of the sum, from one day with unknown orgs to the next; a larger move means that other orgs are unknown."""


class FleetChart(NamedTuple):
    """The paths: a line where every org is known, a dashed one where some are not, and a mark below each such day."""

    line: str
    dashed: str
    marks: str


def fleet_chart(trend: Sequence[FleetDay]) -> FleetChart:
    """The paths of these days; empty ones where nothing is known."""
    levels = drawn_levels(trend)
    known = [level for level in levels if level is not None]
    if not known:
        return FleetChart("", "", "")
    partly = [level is not None and day.unknown > 0 for level, day in zip(levels, trend, strict=True)]
    near = [any(partly[max(place - 1, 0) : place + 2]) for place in range(len(partly))]
    complete = [None if some else level for level, some in zip(levels, partly, strict=True)]
    dashed = [level if some else None for level, some in zip(levels, near, strict=True)]
    bounds = scale(known)
    marks = "".join(f"M{place * STEP} {HEIGHT}v-{_TICK}" for place, day in enumerate(trend) if day.unknown)
    return FleetChart(
        sparkline(complete, STEP, HEIGHT, bounds), sparkline(dashed, STEP, HEIGHT, bounds) if any(near) else "", marks
    )


def drawn_levels(trend: Sequence[FleetDay]) -> list[float | None]:
    """The height of each day: the sum; where orgs are unknown, as if their counts had not changed since.

    When the number of unknown orgs changes, or the sum moves so far that other ones must be unknown, the line goes on
    at the height of the day before. From day to day with as many unknown orgs it moves as the sum does.
    """
    levels: list[float | None] = []
    missing, unknown = 0.0, 0
    before: float | None = None
    for day in trend:
        if day.total is None:
            levels.append(None)
            continue
        if not day.unknown:
            missing = 0.0
        elif before is not None and (
            day.unknown != unknown or abs(day.total + missing - before) > _LARGEST_MOVE * before
        ):
            missing = max(before - day.total, 0.0)
        unknown, before = day.unknown, day.total + missing
        levels.append(before)
    return levels
