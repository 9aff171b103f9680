"""Draws a trend as a picture: lines break at gaps, and gaps are shaded.

No gap is bridged, and no unknown count is drawn as zero. Only drawing needs matplotlib, an extra.
"""

from __future__ import annotations

import heapq
import warnings
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Final

from poller.cli.output.render import plain
from poller.core.errors import OperationError, UsageError
from poller.core.model import UserType
from poller.whole_file import check_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import datetime, tzinfo
    from pathlib import Path

    from poller.core.series import TrendPoint

SUFFIXES: Final = (".png", ".svg", ".pdf")
LARGEST: Final = 10
"""Orgs in one picture; more lines could not be distinguished."""
_DOTS_PER_INCH: Final = 144
_SHADE: Final = {"color": "#d62728", "alpha": 0.10, "linewidth": 0}


def check_path(path: Path) -> None:
    """Raises an error now if the picture could not be drawn at the end."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is not a picture file", f"name a file that ends in {', '.join(SUFFIXES)}")
    check_place(path)
    _matplotlib()


async def largest(series: AsyncIterator[list[TrendPoint]]) -> tuple[list[list[TrendPoint]], int]:
    """The series of the orgs with the largest last counts, and how many orgs there are."""
    kept: list[tuple[int, int, list[TrendPoint]]] = []
    total = 0
    async for points in series:
        total += 1
        last = next((point.last for point in reversed(points) if point.last is not None), -1)
        heapq.heappush(kept, (last, -total, points))
        if len(kept) > LARGEST:
            heapq.heappop(kept)
    return [points for _, _, points in sorted(kept, reverse=True)], total


def draw_org(path: Path, series: Sequence[Sequence[TrendPoint]], edges: Sequence[datetime], zone: tzinfo) -> None:
    """Draws one org: a panel for each user type, with its own scale. CurrentUser is left out: it is always 1."""
    shown = [points for points in series if len(series) == 1 or points[0].user_type is not UserType.CURRENT]
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure = _matplotlib().figure.Figure(figsize=(10, 4.5) if len(shown) == 1 else (12, 2.6 * rows + 0.6))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for panel, points in zip(panels.flat, shown, strict=True):
        _line(panel, points, edges, "#1f77b4")
        _band(panel, points, edges)
        _shade(panel, points, edges)
        panel.set_title(points[0].user_type.value, fontsize=10, loc="left")
        _axes(panel, edges, zone)
    figure.suptitle(_text(shown[0][0].org), x=0.01, ha="left", fontweight="bold")
    _save(figure, path)


def draw_fleet(
    path: Path, series: Sequence[Sequence[TrendPoint]], total: int, edges: Sequence[datetime], zone: tzinfo
) -> None:
    """Draws several orgs in one panel, with their names at the ends of the lines."""
    figure = _matplotlib().figure.Figure(figsize=(12, 6))
    panel = figure.subplots()
    for place, points in enumerate(series):
        _line(panel, points, edges, f"C{place}")
    names = [(points[0].org, _last(points), f"C{place}") for place, points in enumerate(series)]
    _axes(panel, edges, zone)
    _name_lines(panel, names)
    if all(all(point.last is None for point in points) for points in series):
        panel.text(0.5, 0.5, "nothing is known of this time", transform=panel.transAxes, ha="center", color="0.4")
    user_type = series[0][0].user_type.value
    of_how_many = f", the {len(series)} largest of {total:,} orgs" if total > len(series) else ""
    figure.suptitle(f"{user_type}{of_how_many}", x=0.01, ha="left", fontweight="bold")
    _save(figure, path)


def _last(points: Sequence[TrendPoint]) -> int | None:
    return next((point.last for point in reversed(points) if point.last is not None), None)


def _stretches(points: Sequence[TrendPoint]) -> Iterator[list[TrendPoint]]:
    """Draws each part of a line between two gaps."""
    for known, stretch in groupby(points, key=lambda point: point.last is not None):
        if known:
            yield list(stretch)


def _line(panel: Any, points: Sequence[TrendPoint], edges: Sequence[datetime], color: str) -> None:
    """The last count of each step, over the whole step, so that a line ends where a gap begins."""
    end_of = dict(pairwise(edges))
    for stretch in _stretches(points):
        at = [*(point.at for point in stretch), end_of[stretch[-1].at]]
        panel.plot(at, [*(point.last for point in stretch), stretch[-1].last], color=color, drawstyle="steps-post")


def _band(panel: Any, points: Sequence[TrendPoint], edges: Sequence[datetime]) -> None:
    """Shades the range between minimum and maximum of each step."""
    end_of = dict(pairwise(edges))
    for stretch in _stretches(points):
        at = [*(point.at for point in stretch), end_of[stretch[-1].at]]
        low, high = ([getattr(point, name) for point in (*stretch, stretch[-1])] for name in ("min", "max"))
        panel.fill_between(at, low, high, step="post", color="#1f77b4", alpha=0.18, linewidth=0)


def _shade(panel: Any, points: Sequence[TrendPoint], edges: Sequence[datetime]) -> None:
    """Shades every gap."""
    end_of = dict(pairwise(edges))
    for known, stretch in groupby(points, key=lambda point: point.last is not None):
        if not known:
            gap = list(stretch)
            panel.axvspan(gap[0].at, end_of[gap[-1].at], **_SHADE)


def _axes(panel: Any, edges: Sequence[datetime], zone: tzinfo) -> None:
    mpl = _matplotlib()
    locator = mpl.dates.AutoDateLocator(tz=zone, minticks=3, maxticks=8)
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(locator, tz=zone))
    panel.yaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    panel.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    panel.set_xlim(edges[0], edges[-1])
    low, high = panel.get_ylim()
    if high - low < 4:
        # A count that hardly moves must look like that.
        panel.set_ylim(max((low + high) / 2 - 2, -0.2), (low + high) / 2 + 2)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _name_lines(panel: Any, names: Sequence[tuple[str, int | None, str]]) -> None:
    """Puts each name at the end of its line, moved up where it would cover another name."""
    low, high = panel.get_ylim()
    step, floor = (high - low) / 22, low
    for org, last, color in sorted(names, key=lambda name: name[1] or 0):
        if last is not None:
            floor = max(last, floor)
            label = f"  {_text(org)} {last:,}"
            panel.annotate(
                label, (1, floor), xycoords=("axes fraction", "data"), color=color, va="center", annotation_clip=False
            )
            floor += step


def _text(text: str) -> str:
    """Escapes dollar signs, which begin a formula in matplotlib."""
    return plain(text).replace("$", r"\$")


def _save(figure: Any, path: Path) -> None:
    figure.set_layout_engine("constrained")
    try:
        with warnings.catch_warnings():
            # A name may have letters that its font has not: they are drawn as boxes.
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(path, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise OperationError(f"{path} cannot be written: {error.strerror}", "name another file") from None


def _matplotlib() -> Any:
    try:
        import matplotlib.dates
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError:
        raise UsageError(
            "a picture needs matplotlib, which is not installed",
            "run `pip install matplotlib`",
        ) from None
    return matplotlib
