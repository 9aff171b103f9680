"""CSV opened in a spreadsheet: no name is run as a formula, and characters beyond ASCII are read."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

NAMES = ('=HYPERLINK("http://x")', "+Plus", "-Minus", "@Home", "Zoë")
SHOWN = {'\'=HYPERLINK("http://x")', "'+Plus", "'-Minus", "'@Home", "Zoë"}
SLOT = slot_of(datetime.now(UTC) - timedelta(hours=3), 3_600)


@pytest.fixture
def fleet(on_database: str) -> None:
    """One org per name, with a successful and a failed poll."""

    async def write() -> None:
        async with await connect(on_database) as database:
            await database.execute("INSERT INTO orgs (name, data_center) SELECT unnest($1::text[]), 'us'", list(NAMES))
            ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs")]
            ok = [Snapshot(org, SLOT, SLOT, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5)) for org in ids]
            later = SLOT + timedelta(minutes=15)
            failed = [Snapshot(org, later, later, Outcome.UNAVAILABLE, "=code") for org in ids]
            await write_snapshots(database, ok + failed)

    asyncio.run(write())


def column(text: str, name: str) -> set[str]:
    return {row[name] for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.usefixtures("fleet")
def test_no_name_and_no_error_code_in_csv_output_is_a_spreadsheet_formula(poller: Poller, tmp_path: Path) -> None:
    trend = poller("trend", "--format", "csv", "--since", "1d")
    gaps = poller("gaps", "--format", "csv", "--since", "1d")
    assert poller("export", "--format", "csv", "--out", str(tmp_path / "out")).code == 0
    exported = "".join(path.read_text() for path in sorted((tmp_path / "out").glob("*.csv"))[:1])
    for text in (trend.out, gaps.out, exported):
        assert column(text, "org") == SHOWN
        assert not text.startswith("\ufeff")
    assert column(exported, "error") == {"", "'=code"}


@pytest.mark.usefixtures("fleet")
def test_csv_begins_with_a_byte_order_mark_if_requested(poller: Poller, tmp_path: Path) -> None:
    for command in ("trend", "gaps"):
        text = poller(command, "--format", "csv", "--bom", "--since", "1d").out
        assert text.startswith("\ufefforg")
        assert text.count("\ufeff") == 1
    assert poller("export", "--format", "csv", "--bom", "--out", str(tmp_path / "out")).code == 0
    for path in (tmp_path / "out").glob("*.csv"):
        assert path.read_bytes().startswith(b"\xef\xbb\xbforg_id,")
    other = poller("export", "--format", "csv", "--out", str(tmp_path / "out"))
    assert (other.code, "holds an export of something else" in other.error) == (2, True)


@pytest.mark.parametrize(
    "command", [["trend"], ["gaps", "--format", "json"], ["export", "--format", "parquet", "--out", "x"]]
)
def test_a_byte_order_mark_without_csv_is_refused(poller: Poller, command: list[str]) -> None:
    ended = poller(*command, "--bom")
    assert (ended.code, ended.error) == (2, "poller: --bom is for CSV; give --format csv too")


def test_a_plot_and_a_text_format_together_are_refused(poller: Poller) -> None:
    ended = poller("trend", "--plot", "x.png", "--format", "csv")
    assert ended.code == 2
    assert ended.error == "poller: --plot draws a picture and --format csv writes text; give one of the two"
