"""Plots of trends show known counts only, and do not connect points across a gap."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from poller.cli.output import plot
from poller.core.errors import OperationError, UsageError
from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.core.series import TrendPoint
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EDGES = [START + n * DAY for n in range(9)]


def series(*lasts: int | None, org: str = "acme", kind: UserType = UserType.ACTIVE) -> list[TrendPoint]:
    return [
        TrendPoint(1, org, kind, at, first=last, last=last, min=last, max=last, avg=last, samples=last is not None)
        for at, last in zip(EDGES, lasts, strict=False)
    ]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved."""
    import matplotlib.figure

    saved: list[Any] = []
    save = matplotlib.figure.Figure.savefig

    def remember(self: Any, *arguments: Any, **options: Any) -> None:
        save(self, *arguments, **options)
        saved.append(self)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", remember)
    return saved


def lines(panel: Any) -> list[list[tuple[datetime, float]]]:
    return [
        [(at, float(count)) for at, count in zip(*line.get_data(), strict=True)]
        for line in panel.get_lines()
        if len(line.get_xdata()) > 1
    ]


def test_unknown_times_are_shaded_gaps_in_the_plotted_line(tmp_path: Path, figures: list[Any]) -> None:
    points = series(5, 6, None, None, 7, None, 8, 8)
    plot.draw_org(tmp_path / "out.png", [points], EDGES, UTC)
    (panel,) = figures[0].axes
    assert lines(panel) == [
        [(EDGES[0], 5), (EDGES[1], 6), (EDGES[2], 6)],
        [(EDGES[4], 7), (EDGES[5], 7)],
        [(EDGES[6], 8), (EDGES[7], 8), (EDGES[8], 8)],
    ]
    # In days, from the first day drawn.
    begin = panel.get_xlim()[0]
    shades = [(patch.get_x() - begin, patch.get_x() - begin + patch.get_width()) for patch in panel.patches]
    assert shades == [(2, 4), (5, 6)]


def test_the_plot_of_an_org_has_a_panel_for_each_type_except_current_user(tmp_path: Path, figures: list[Any]) -> None:
    plot.draw_org(tmp_path / "out.png", [series(*range(8), kind=kind) for kind in USER_TYPES], EDGES, UTC)
    assert [panel.get_title(loc="left") for panel in figures[0].axes] == [kind.value for kind in USER_TYPES[:-1]]
    plot.draw_org(tmp_path / "out.png", [series(*[1] * 8, kind=UserType.CURRENT)], EDGES, UTC)
    assert len(figures[1].axes) == 1


def test_the_plot_of_a_fleet_labels_each_line_without_overlaps(tmp_path: Path, figures: list[Any]) -> None:
    fleet = [series(*[count] * 8, org=f"org {count}") for count in (100, 3, 2, 1)]
    plot.draw_fleet(tmp_path / "out.png", fleet, 12, EDGES, UTC)
    (panel,) = figures[0].axes
    labels = [text for text in panel.texts if "org" in text.get_text()]
    assert [text.get_text().strip() for text in labels] == ["org 1 1", "org 2 2", "org 3 3", "org 100 100"]
    heights = [text.xy[1] for text in labels]
    low, high = panel.get_ylim()
    assert all(later - earlier >= (high - low) / 25 for earlier, later in pairwise(heights))
    assert figures[0].get_suptitle() == "ActiveUsers, the 4 largest of 12 orgs"


async def test_the_plot_of_a_large_fleet_shows_its_largest_orgs(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[list[TrendPoint]]:
        for count in (*range(50), 50):
            yield series(count, None, org=f"org {count}")
        yield series(None, None, org="unknown")

    kept, total = await plot.largest(stream())
    assert total == 52
    assert [points[0].org for points in kept] == [f"org {count}" for count in range(50, 40, -1)]


@pytest.mark.parametrize("name", ["a $formula$ & <b>", "\x1b[31mred\n", "株式会社", "_^{}\\"])
def test_an_org_name_with_markup_is_drawn_as_plain_text(tmp_path: Path, name: str, figures: list[Any]) -> None:
    from matplotlib.cbook import is_math_text

    plot.draw_org(tmp_path / "org.svg", [series(1, 2, org=name)], EDGES[:3], UTC)
    plot.draw_fleet(tmp_path / "fleet.pdf", [series(1, 2, org=name)], 1, EDGES[:3], UTC)
    title = figures[0].get_suptitle()
    (label,) = [text.get_text() for text in figures[1].axes[0].texts]
    for drawn in (title, label):
        assert not is_math_text(drawn)
        assert "\x1b" not in drawn
        assert "\n" not in drawn
    assert label.strip() == f"{title} 2"


def test_the_plot_of_a_fleet_without_known_counts_says_so(tmp_path: Path, figures: list[Any]) -> None:
    plot.draw_fleet(tmp_path / "out.png", [series(*[None] * 8)], 1, EDGES, UTC)
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["nothing is known of this time"]


def test_counts_that_hardly_change_are_drawn_flat_with_whole_numbers_on_the_axis(
    tmp_path: Path, figures: list[Any]
) -> None:
    plot.draw_org(tmp_path / "out.png", [series(5, 5, 6, 5)], EDGES[:5], UTC)
    (panel,) = figures[0].axes
    low, high = panel.get_ylim()
    assert high - low >= 4
    assert all(tick == int(tick) for tick in panel.get_yticks())


def test_an_invalid_plot_request_is_refused_before_any_data_is_read(poller: Poller, tmp_path: Path) -> None:
    for name in ("out.gif", "out"):
        ended = poller("trend", "--plot", str(tmp_path / name))
        assert (ended.code, ended.out) == (2, "")
        assert ended.error.endswith("is not a picture file; name a file that ends in .png, .svg, .pdf")
    assert poller("trend", "--plot", str(tmp_path)).code == 2


def test_a_plot_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="cannot be written: No such file or directory; name another file"):
        plot.draw_org(tmp_path / "missing" / "out.png", [series(1, 2)], EDGES[:3], UTC)


def test_without_matplotlib_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ["matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="a picture needs matplotlib, which is not installed; run `pip install"):
        plot.check_path(tmp_path / "out.png")


def test_the_trend_command_plots_an_org_and_a_fleet(poller: Poller, on_database: str, tmp_path: Path) -> None:
    import matplotlib.image

    async def fill() -> None:
        async with await connect(on_database) as database:
            await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us'), ('zeta', 'us')")
            now = datetime.now(UTC)
            slots = [now.replace(minute=0, second=0, microsecond=0) - n * DAY for n in range(20)]
            counts = dict.fromkeys(USER_TYPES, 5)
            await write_snapshots(
                database, [Snapshot(i, slot, slot, Outcome.OK, counts=counts) for i in (1, 2) for slot in slots]
            )

    picture = tmp_path / "out.PNG"
    ended = poller("trend", "--plot", str(picture), "--since", "7d")
    assert (ended.code, ended.out, ended.err) == (
        0,
        "",
        "There is no org yet; `poller orgs import FILE` adds orgs.\n",
    )
    assert not picture.exists()
    asyncio.run(fill())
    for arguments in ([], ["acme"], ["zeta", "--type", "AdminUsers", "--since", "30d", "--tz", "Europe/Berlin"]):
        picture.unlink(missing_ok=True)
        ended = poller("trend", *arguments, "--plot", str(picture))
        assert (ended.code, ended.out, ended.err) == (0, f"Drawn: {picture}\n", "")
        pixels = matplotlib.image.imread(picture)
        assert pixels.shape[0] > 500
        assert pixels.shape[1] > 1000
        assert pixels.min() < pixels.max()
