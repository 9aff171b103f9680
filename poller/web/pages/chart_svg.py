"""Draws the chart of an Org page as SVG, for readers without a script and for paper."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from poller.core.chart_scale import nice_ticks, runs, scale
from poller.core.durations import DAY_SECONDS
from poller.web.pages.formats import day, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poller.web.pages.chart_data import Chart

WIDTH: Final = 960
HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 10, 24
_TIME_STEPS: Final = (
    3_600,
    10_800,
    21_600,
    43_200,
    *(DAY_SECONDS * days for days in (1, 2, 7, 14, 28, 56, 91, 182, 364)),
)


def chart_svg(chart: Chart, label: str) -> Markup:
    """The chart, or nothing if no count in it is known. `label` says the same in words."""
    if not any(value is not None for line in chart.lines for value in line.last):
        return Markup()
    levels = chart.levels()
    low, high = scale(levels)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    span = max(chart.end - chart.begin, 1)

    def x(at: float) -> float:
        return round(_LEFT + (at - chart.begin) / span * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    parts = [*_grid(chart, ticks, x, y), *_gaps(chart, x), *_fan(chart, x, y), *_lines(chart, x, y)]
    if chart.seats:
        points = [f"{x(at):g} {y(value):g}" for at, value in _stairs(chart.seats)]
        parts.append(f'<path class="seats" d="M{" ".join(points)}"/>')
    head = f'<svg class="chart-svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers, and text that is escaped above


def _grid(
    chart: Chart, ticks: Sequence[float], x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    for tick in ticks:
        yield f'<path class="grid" d="M{_LEFT} {y(tick):g}H{WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(tick) + 4:g}" text-anchor="end">{number(tick)}</text>'
    step = next((step for step in _TIME_STEPS if (chart.end - chart.begin) / step <= 8), _TIME_STEPS[-1])
    at = (chart.begin // step + 1) * step
    today = datetime.fromtimestamp(chart.now, UTC).date()
    while at < chart.end:
        moment = datetime.fromtimestamp(at, UTC)
        text = day(moment.date(), today) if step >= DAY_SECONDS or not moment.hour else f"{moment:%H:%M}"
        yield f'<text x="{x(at):g}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>'
        at += step


def _gaps(chart: Chart, x: Callable[[float], float]) -> Iterator[str]:
    for gap in chart.gaps:
        left = max(x(gap.begin), _LEFT)
        width = max(x(gap.end) - left, 1)
        yield (
            f'<rect class="gap" x="{left:g}" y="{_TOP}" width="{width:g}" height="{HEIGHT - _TOP - _BOTTOM}">'
            f"<title>{escape(gap.reason)}</title></rect>"
        )


def _fan(chart: Chart, x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    for name, low, high in (("fan95", 4, 5), ("fan80", 2, 3)):
        if chart.fan:
            above = [f"{x(point[0]):g} {y(point[high]):g}" for point in chart.fan]
            below = [f"{x(point[0]):g} {y(point[low]):g}" for point in reversed(chart.fan)]
            yield f'<path class="{name}" d="M{" ".join([*above, *below])}z"/>'
    if chart.fan:
        yield f'<path class="mean" d="M{" ".join(f"{x(point[0]):g} {y(point[1]):g}" for point in chart.fan)}"/>'


def _lines(chart: Chart, x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    for place, line in enumerate(chart.lines):
        if chart.has_band:
            for run in runs(line.last):
                above = [f"{x(chart.starts[n]):g} {y(line.max[n] or 0):g}" for n in run]
                below = [f"{x(chart.starts[n]):g} {y(line.min[n] or 0):g}" for n in reversed(run)]
                if len(run) > 1:
                    yield f'<path class="band c{place % 5 + 1}" d="M{" ".join([*above, *below])}z"/>'
        path = []
        for run in runs(line.last):
            points = [f"{x(chart.starts[n]):g} {y(line.last[n] or 0):g}" for n in run]
            # A reading between two gaps is a line of no length, which a round line cap makes a dot.
            path.append("M" + " ".join(points) + ("h0" if len(run) == 1 else ""))
        dashed = " dashed" if place >= 5 else ""
        yield f'<path class="line c{place % 5 + 1}{dashed}" d="{"".join(path)}"/>'


def _stairs(line: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    yield line[0]
    for (_, before), (at, value) in pairwise(line):
        yield at, before
        yield at, value
