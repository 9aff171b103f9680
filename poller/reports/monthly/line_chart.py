"""Draws users over months as SVG: the line with its gaps, the seats, and the forecast as a fan. Pure, without a clock.

Everything that a colour says is also said by a shape, so that the chart is readable when it is printed in grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from poller.core.calendar_month import CalendarMonth
from poller.core.chart_scale import nice_ticks, runs, scale
from poller.core.quantities import MONTHS, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poller.query.capacity import Point

WIDTH: Final = 720
HEIGHT: Final = 232
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 72, 20, 22
_SEATS_ROOM: Final = 1.6
"""Seats above this multiple of the users are named above the chart instead of drawn: the line would be flat."""
_FAN_STEP: Final = 4
"""Days from one corner of the fan to the next."""
_LEAST_LABEL_GAP: Final = 11.0


@dataclass(frozen=True, slots=True)
class LineChart:
    """What to draw. `counts`: one for each day from `begin` on, None: unknown. `month`: the one to mark.

    `watched_from`: the first day on which counts could be known; unknown days before it are not marked as gaps.
    """

    begin: date
    counts: Sequence[int | None]
    month: CalendarMonth
    month_last: date
    watched_from: date | None = None
    seats: Sequence[tuple[date, int]] = ()
    fan: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class _Frame:
    """Turns days and users into places of the picture."""

    begin: date
    days: int
    low: float
    high: float

    def x(self, day: date) -> float:
        return self.x_at((day - self.begin).days)

    def x_at(self, place: float) -> float:
        share = min(max(place, 0), self.days) / max(self.days, 1)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, users: float) -> float:
        share = (self.high - users) / (self.high - self.low)
        return round(_TOP + share * (HEIGHT - _TOP - _BOTTOM), 1)


def line_chart(chart: LineChart, label: str) -> Markup:
    """The chart, or nothing if no count in it is known. `label` says the same in words."""
    known = [one for one in chart.counts if one is not None]
    if not known:
        return Markup()
    levels: list[float] = [*known, *(bound for point in chart.fan for bound in (point.low95, point.high95))]
    shown, above = _seats_in_reach(chart.seats, max(levels))
    frame, ticks = _frame(chart, [*levels, *(seats for _, seats in shown)])
    parts = [
        *_month(chart, frame),
        *_grid(frame, ticks),
        *_gaps(chart, frame),
        *_fan(chart.fan, frame),
        *_seats(shown, above, frame),
        *_line(chart.counts, frame),
        *_labels(chart, shown, frame),
    ]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers, and text that is escaped above


def _frame(chart: LineChart, levels: Sequence[float]) -> tuple[_Frame, list[float]]:
    """The range of both axes, which round numbers bound, and these round numbers."""
    low, high = scale(levels)
    ticks = nice_ticks(max(low, 0.0), high)
    last = chart.begin + timedelta(days=len(chart.counts))
    end = max(last, chart.fan[-1].day) if chart.fan else last
    return _Frame(chart.begin, (end - chart.begin).days, min(low, ticks[0]), max(high, ticks[-1])), ticks


def _seats_in_reach(seats: Sequence[tuple[date, int]], users: float) -> tuple[list[tuple[date, int]], int | None]:
    """The seats to draw; or, where they are far above the users, none and the latest number."""
    if seats and max(number for _, number in seats) > max(users * _SEATS_ROOM, users + 5):
        return [], seats[-1][1]
    return list(seats), None


def _month(chart: LineChart, frame: _Frame) -> Iterator[str]:
    left, right = frame.x(chart.month.first), frame.x(chart.month_last + timedelta(days=1))
    height = HEIGHT - _TOP - _BOTTOM
    yield f'<rect class="month" x="{left:g}" y="{_TOP}" width="{max(right - left, 2):.1f}" height="{height}"/>'
    middle = (left + right) / 2
    yield f'<text class="strong" x="{middle:.1f}" y="{_TOP - 7}" text-anchor="middle">{chart.month.words}</text>'


def _grid(frame: _Frame, ticks: Sequence[float]) -> Iterator[str]:
    for tick in ticks:
        yield f'<path class="grid" d="M{_LEFT} {frame.y(tick):g}H{WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 6}" y="{frame.y(tick) + 3.5:g}" text-anchor="end">{number(tick)}</text>'
    for month in _months(frame):
        left, right = frame.x(month.first), frame.x(month.later(1).first)
        yield f'<path class="grid" d="M{left:g} {HEIGHT - _BOTTOM}v4"/>'
        if right - left > 18:
            name = MONTHS[month.number - 1][:3]
            year = f" {month.year % 100:02}" if month.number == 1 else ""
            yield f'<text x="{(left + right) / 2:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{name}{year}</text>'


def _months(frame: _Frame) -> Iterator[CalendarMonth]:
    month = CalendarMonth.of(frame.begin)
    while (month.first - frame.begin).days < frame.days:
        yield month
        month = month.later(1)


def _gaps(chart: LineChart, frame: _Frame) -> Iterator[str]:
    """Shades the unknown days between the first day that could be known and the last one of the chart."""
    unknown = [1 if count is None else None for count in chart.counts]
    first = None if chart.watched_from is None else (chart.watched_from - chart.begin).days
    for run in runs(unknown):
        since = run[0] if first is None else max(run[0], first)
        if since <= run[-1]:
            left, right = frame.x_at(since), frame.x_at(run[-1] + 1)
            height = HEIGHT - _TOP - _BOTTOM
            yield f'<rect class="gap" x="{left:g}" y="{_TOP}" width="{max(right - left, 2):.1f}" height="{height}"/>'


def _fan(fan: Sequence[Point], frame: _Frame) -> Iterator[str]:
    if not fan:
        return
    corners = [*fan[::_FAN_STEP], *([fan[-1]] if (len(fan) - 1) % _FAN_STEP else [])]
    for name, bounds in (
        ("fan95", [(one.day, one.low95, one.high95) for one in corners]),
        ("fan80", [(one.day, one.low80, one.high80) for one in corners]),
    ):
        over = [(day, high) for day, _, high in bounds]
        under = [(day, low) for day, low, _ in bounds]
        yield f'<path class="{name}" d="M{_points([*over, *reversed(under)], frame)}z"/>'
    yield f'<path class="mean" d="M{_points([(one.day, one.mean) for one in corners], frame)}"/>'


def _points(points: Iterable[tuple[date, float]], frame: _Frame) -> str:
    return " ".join(f"{frame.x(day):g} {frame.y(users):g}" for day, users in points)


def _seats(shown: Sequence[tuple[date, int]], above: int | None, frame: _Frame) -> Iterator[str]:
    if above is not None:
        text = f"{number(above)} seats, above this chart ↑"
        yield f'<text class="strong" x="{WIDTH - _RIGHT - 4}" y="{_TOP + 11}" text-anchor="end">{text}</text>'
    if shown:
        day, seats = shown[0]
        path = [f"M{frame.x(day):g} {frame.y(seats):g}"]
        path += [f"H{frame.x(later):g}V{frame.y(number_of):g}" for later, number_of in shown[1:]]
        yield f'<path class="seats" d="{"".join(path)}H{WIDTH - _RIGHT}"/>'


def _line(counts: Sequence[int | None], frame: _Frame) -> Iterator[str]:
    path: list[str] = []
    for run in runs(counts):
        places = [(frame.x_at(place + 0.5), frame.y(counts[place] or 0)) for place in run]
        corners = [one for n, one in enumerate(places) if n in {0, len(places) - 1} or _bends(places, n)]
        # A day between two gaps is a line of no length, which a round line cap makes a dot.
        path.append("M" + " ".join(f"{x:g} {y:g}" for x, y in corners) + ("h0" if len(run) == 1 else ""))
    yield f'<path class="users" d="{"".join(path)}"/>'


def _bends(places: Sequence[tuple[float, float]], n: int) -> bool:
    """Whether the line changes its height before or after this place: level stretches need no points."""
    return places[n - 1][1] != places[n][1] or places[n][1] != places[n + 1][1]


def _labels(chart: LineChart, shown: Sequence[tuple[date, int]], frame: _Frame) -> Iterator[str]:
    """The last count with a dot, and beside the right edge what the lines are, moved apart where they would touch."""
    place = max(n for n, count in enumerate(chart.counts) if count is not None)
    last = chart.counts[place] or 0
    yield f'<circle class="end" cx="{frame.x_at(place + 0.5):g}" cy="{frame.y(last):g}" r="2.6"/>'
    if chart.fan:
        end = chart.fan[-1].mean
        wanted = [(frame.y(end), f"≈ {number(end)}")]
    else:
        wanted = [(frame.y(last), number(last))]
    if shown:
        wanted.append((frame.y(shown[-1][1]), f"{number(shown[-1][1])} seats"))
    below = 0.0
    for at, text in sorted(wanted):
        below = max(at + 3.5, below + _LEAST_LABEL_GAP)
        yield f'<text class="strong" x="{WIDTH - _RIGHT + 5}" y="{below:g}">{escape(text)}</text>'
