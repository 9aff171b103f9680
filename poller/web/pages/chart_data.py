"""What the chart of an Org page draws: lines, bands, gaps, seats, forecast and events, as compact columns.

The script reads it from an attribute of the figure, so that the page needs no second request and no inline script. The
SVG for readers without a script is drawn from the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from poller.core.durations import DAY_SECONDS
from poller.web.pages.org_words import concerns, gap_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.series import TypeSeries
    from poller.query.org_page import OrgView
    from poller.web.pages.org_address import OrgAddress

_FAN: Final = ("mean", "low80", "high80", "low95", "high95")


@dataclass(frozen=True, slots=True)
class ChartGap:
    """A stretch of unknown slots that concern the lines, in seconds since 1970, and why."""

    begin: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows. `starts`: the start of each step in seconds since 1970. `fan`: a tuple for each day."""

    starts: Sequence[int]
    step: int
    begin: int
    end: int
    lines: Sequence[TypeSeries]
    has_band: bool
    gaps: Sequence[ChartGap]
    seats: Sequence[tuple[int, int]]
    fan: Sequence[tuple[float, ...]]
    events: Sequence[tuple[int, str, str]]
    now: int

    def as_json(self) -> str:
        """The values for the script; lines carry minimum and maximum only where a band is drawn."""
        lines: list[dict[str, Any]] = []
        for line in self.lines:
            columns: dict[str, Any] = {"type": line.user_type.value, "last": line.last}
            if self.has_band:
                columns |= {"min": line.min, "max": line.max}
            lines.append(columns)
        values = {
            "t": self.starts,
            "step": self.step,
            "begin": self.begin,
            "end": self.end,
            "lines": lines,
            "gaps": [(gap.begin, gap.end, gap.reason) for gap in self.gaps],
            "seats": self.seats,
            "fan": self.fan,
            "events": self.events,
            "now": self.now,
        }
        return orjson.dumps(values).decode()

    def levels(self) -> list[float]:
        """Every number on the chart: what its vertical scale must contain."""
        found: list[float] = []
        for line in self.lines:
            for column in (line.min, line.max) if self.has_band else (line.last,):
                found += [value for value in column if value is not None]
        found += [value for _, value in self.seats]
        for point in self.fan:
            found += (point[4], point[5])
        return found


def chart_of(view: OrgView, address: OrgAddress) -> Chart:
    """The chart of a page, with the layers that its address shows."""
    series = view.series
    starts = [round(edge.timestamp()) for edge in series.edges]
    fan: list[tuple[float, ...]] = []
    if "forecast" not in address.hidden:
        fan = [(_midnight(point.day), *(round(getattr(point, name), 1) for name in _FAN)) for point in view.fan]
    now, facts = view.current.at, view.current.facts
    end = max(fan[-1][0], starts[-1]) if fan else starts[-1]
    shown = [gap for gap in reversed(view.gaps) if concerns(gap.reason, address.user_types)]
    lasts = timedelta(seconds=facts.effective_interval_seconds)
    gaps = [ChartGap(_seconds(gap.first), _seconds(min(gap.last + lasts, now)), gap_words(gap.reason)) for gap in shown]
    return Chart(
        starts=starts[:-1],
        step=series.step_seconds,
        begin=starts[0],
        end=round(end),
        lines=series.types,
        has_band="band" not in address.hidden and series.step_seconds >= DAY_SECONDS,
        gaps=[gap for gap in gaps if gap.end > starts[0]],
        seats=_seat_line(view, starts[0], round(end)) if "seats" not in address.hidden else [],
        fan=fan,
        events=[(_seconds(event.at), event.kind, event.text) for event in view.events],
        now=_seconds(now),
    )


def _seat_line(view: OrgView, begin: int, end: int) -> list[tuple[int, int]]:
    """When the number of seats changed, from the start to the end of the chart; empty where it is not known."""
    facts = view.current.facts
    if facts.seats is None:
        return []
    if facts.seats_source in {"contract", "licences"} or not view.seats:
        return [(begin, facts.seats), (end, facts.seats)]
    changes = [(_seconds(at), seats) for at, seats in view.seats]
    before = [seats for at, seats in changes if at <= begin]
    line = [(begin, before[-1])] if before else []
    line += [(at, seats) for at, seats in changes if begin < at < end]
    return [*line, (end, line[-1][1])] if line else []


def _seconds(at: datetime) -> int:
    return round(at.timestamp())


def _midnight(day: Any) -> int:
    return _seconds(datetime.combine(day, time(), UTC))
