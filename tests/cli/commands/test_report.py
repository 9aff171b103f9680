"""`poller report` writes a whole file or none, and says in one line what is wrong."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from poller.core.calendar_month import CalendarMonth
from poller.reports.monthly.csv_rows import COLUMNS
from poller.store.database import connect
from tests.store.capacity.histories import org_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]


@pytest.fixture
def month() -> CalendarMonth:
    """Last month, which is the default of `poller report`."""
    return CalendarMonth.of(datetime.now(UTC).date()).later(-1)


@pytest.fixture
def fleet(on_database: str, month: CalendarMonth) -> None:
    """Two orgs with counts of last month, one of them with a name that a spreadsheet would run, and one without."""

    async def write() -> None:
        async with await connect(on_database) as database:
            await org_with(database, "=1+1 <b>", {"ActiveUsers": [5] * 40, "AllUsers": [9] * 40}, last=month.last)
            await org_with(database, "Acme", {"ActiveUsers": list(range(20, 60))}, licences=100, last=month.last)
            await org_with(database, "Never", {})
            await database.execute("UPDATE orgs SET tags = '{gold}' WHERE name = 'Acme'")

    asyncio.run(write())


@pytest.mark.usefixtures("fleet")
def test_a_page_for_each_org_is_written_and_names_are_escaped(
    poller: Poller, tmp_path: Path, month: CalendarMonth
) -> None:
    ended = poller("report", "--month", str(month), "--out", "report.html")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"report.html: {month.words}, 3 orgs, 1 without a known count, ")
    text = (tmp_path / "report.html").read_text()
    assert text.count('<section class="page customer"') == 3
    assert text.count('<section class="page summary"') == 1
    assert "=1+1 &lt;b&gt;" in text
    assert "<b>:" not in text
    assert "http" not in re.sub(r"http_\d+|http-equiv", "", text)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("fleet")
def test_a_report_about_one_org_has_no_summary_and_replaces_the_file(
    poller: Poller, tmp_path: Path, month: CalendarMonth
) -> None:
    (tmp_path / "acme.html").write_text("old")
    assert poller("report", "--tag", "gold", "--out", "acme.html").code == 0
    text = (tmp_path / "acme.html").read_text()
    assert "page summary" not in text
    assert f"<title>Acme · {month.words}</title>" in text


@pytest.mark.usefixtures("fleet")
def test_json_is_one_object_about_the_file(poller: Poller, tmp_path: Path, month: CalendarMonth) -> None:
    found = json.loads(poller("report", "Acme", "--out", "acme.html", "--json").out)
    assert {**found, "seconds": 0} == {
        "file": "acme.html",
        "month": str(month),
        "until": month.last.isoformat(),
        "orgs": 1,
        "without_counts": 0,
        "bytes": (tmp_path / "acme.html").stat().st_size,
        "seconds": 0,
    }


@pytest.mark.usefixtures("fleet")
def test_csv_has_a_row_for_each_org_and_user_type_without_formulas_and_without_0_for_unknown(
    poller: Poller, tmp_path: Path, month: CalendarMonth
) -> None:
    assert poller("report", "--out", "report.csv").code == 0
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == 30
    by_key = {(row["org"], row["user_type"]): row for row in rows}
    acme, never = by_key["Acme", "ActiveUsers"], by_key["Never", "ActiveUsers"]
    assert (acme["first_day"], acme["last_day"]) == (month.first.isoformat(), month.last.isoformat())
    days = (month.last - month.first).days + 1
    assert (acme["first"], acme["last"], acme["change"]) == (str(60 - days), "59", str(days - 1))
    assert (acme["purchased"], acme["used"], acme["idle"], acme["idle_cost"]) == ("100", "59", "41", "")
    assert {never[name] for name in ("first", "last", "min", "max", "change", "used", "idle", "exhausted_on")} == {""}
    assert by_key["Acme", "AllUsers"]["purchased"] == ""
    assert ("'=1+1 <b>", "AllUsers") in by_key


@pytest.mark.usefixtures("fleet")
def test_a_month_that_is_not_over_says_until_when(poller: Poller, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    this_month = CalendarMonth.of(today)
    assert poller("report", "--month", str(this_month), "--out", "now.html").code == 0
    assert f"{this_month.words}, until {today.day} " in (tmp_path / "now.html").read_text()


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--month", "2999-01"], "2999-01 is in the future; name "),
        (["--month", "Oct"], "'Oct' is not a month; write it as 2026-10"),
        (["--out", "report.pdf"], "report.pdf ends with neither .html nor .csv; name a file such as report.html"),
        (["--out", "folder.html"], "folder.html is a folder; name a file in it"),
        (["--out", "nowhere/report.html"], "there is no folder nowhere; create it, or name another file"),
        (["--out", "/proc/report.html"], "/proc/report.html cannot be written: "),
        (["Nobody"], "Nobody"),
        (["--tag", "silver"], "no org matches --tag silver; see `poller orgs list`"),
        (["--state", "odd"], "--state odd: there is no such state; use one of "),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_no_file_appears(
    poller: Poller, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    out = [] if "--out" in arguments else ["--out", "report.html"]
    ended = poller("report", *arguments, *out)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.error
    assert ended.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


@pytest.mark.usefixtures("fleet")
def test_an_error_leaves_an_earlier_report_as_it_is(poller: Poller, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("an earlier report")
    assert poller("report", "--tag", "silver", "--out", "report.html").code == 2
    assert (tmp_path / "report.html").read_text() == "an earlier report"
