"""The rows of the table below a chart: the same figures as its lines, the newest first.

Built as text, because a template takes ten times as long for a thousand rows.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from poller.core.durations import DAY_SECONDS
from poller.web.pages.formats import UNKNOWN, number

if TYPE_CHECKING:
    from poller.core.series import TypeSeries
    from poller.web.pages.chart_data import Chart

_EPOCH: Final = date(1970, 1, 1).toordinal()


def series_rows(chart: Chart) -> Markup:
    """A row for each step: its start, the numbers of each line, and why a number is not known."""
    starts = [gap.begin for gap in chart.gaps]
    rows = []
    for place in range(len(chart.starts) - 1, -1, -1):
        at = chart.starts[place]
        cells = "".join(_cells(chart, line, place) for line in chart.lines)
        rows.append(f"<tr><td>{_time(at, chart.step)}</td>{cells}<td>{_why(chart, starts, place)}</td></tr>")
    return Markup("".join(rows))  # noqa: S704 - numbers, and a reason that is escaped


def _cells(chart: Chart, line: TypeSeries, place: int) -> str:
    last = line.last[place]
    cell = f'<td class="n">{UNKNOWN if last is None else number(last)}</td>'
    if not chart.has_band:
        return cell
    low, high = line.min[place], line.max[place]
    return f'{cell}<td class="n soft">{UNKNOWN if low is None or high is None else f"{low:,}–{high:,}"}</td>'


def _time(at: int, step: int) -> str:
    day, seconds = divmod(at, DAY_SECONDS)
    on = _date(day)
    if step >= DAY_SECONDS:
        return on
    text = f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"
    return f'<time datetime="{on}T{text}Z">{on} {text}</time>'


@lru_cache(maxsize=4_000)
def _date(day: int) -> str:
    """A day by its number since 1970; formatting dates is slow, and rows repeat them."""
    return date.fromordinal(_EPOCH + day).isoformat()


def _why(chart: Chart, starts: list[int], place: int) -> str:
    """Why numbers of this step are unknown; empty if all are known."""
    missing = max(line.missing[place] for line in chart.lines)
    empty = any(line.last[place] is None for line in chart.lines)
    if not (missing or empty):
        return ""
    at = chart.starts[place]
    nearest = bisect_right(starts, at + chart.step - 1) - 1
    reason = ""
    if nearest >= 0 and chart.gaps[nearest].end > at:
        reason = str(escape(chart.gaps[nearest].reason))
    slots = missing + max(line.samples[place] for line in chart.lines)
    if empty and not missing:
        return reason or "no poll"
    counted = f"{missing} of {slots} unknown" if slots > 1 else ""
    return ": ".join(part for part in (counted, reason) if part)
