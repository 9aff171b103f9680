"""The Health page: what is wrong comes first, each hour leads to its gaps, and nothing unknown is shown as 0."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import Outcome
from poller.store.queue.maintenance import record_task_end, record_task_start
from poller.store.series.snapshots import write_snapshots
from tests.query.test_health import added, row, slots, working
from tests.web.pages.served import pages_of, parse

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.pages.served import Element


def verdict_of(page: Element) -> list[tuple[str, str]]:
    """The lines of the verdict: check and status, in their order."""
    (listed,) = page.all("ul", class_="verdict")
    return [(line["data-check"], line["data-status"]) for line in listed.all("li")]


async def fill(database: Database) -> None:
    """Two orgs with a day of slots, of which the third hour is unknown, a worker, and a task that failed."""
    now = database.clock.now()
    ids = [*await added(database, "Acme"), *await added(database, "Birch & <Sons>", data_center="in")]
    times = slots(now)
    gap = times[8:12]
    await write_snapshots(
        database,
        [
            row(org_id, slot, Outcome.UNAVAILABLE, "http_503")
            if slot in gap and org_id == ids[1]
            else row(org_id, slot)
            for org_id in ids
            for slot in times
        ],
    )
    await working(database, away={"in": {"since": (now - timedelta(minutes=30)).isoformat(), "error": "http_503"}})
    await record_task_start(database, "rollups")
    await record_task_end(database, "rollups", now - timedelta(days=2), detail="7 days of orgs")
    await record_task_end(database, "rollups", now, error="the disk is full")


async def test_the_verdict_names_what_is_wrong_first_with_its_remedy(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        page = await pages.page("/health")
    lines = verdict_of(page)
    assert [status for _, status in lines] == sorted((status for _, status in lines), reverse=True)
    assert {("data centres", "wrong"), ("maintenance", "wrong"), ("slots", "warning"), ("missed", "ok")} <= set(lines)
    (slots_line,) = page.all("li", data_check="slots")
    assert "4 are not: 4 unavailable (in)" in slots_line.text
    assert "the disk is full" in page.text
    assert next(page.all("title")).text.startswith("2 wrong · Health")


async def test_each_hour_leads_to_its_gaps_with_org_reason_and_remedy(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        page = await pages.page("/health")
        (bars,) = page.all("svg", class_="bars")
        hours = list(bars.all("a"))
        assert len(hours) == 24
        assert "4 unavailable" in hours[2]["aria-label"]
        (gaps,) = (await pages.page(hours[2]["href"].partition("#")[0])).all("section", id="gaps")
        (found,) = gaps.all("li", data_org="Birch & <Sons>")
        assert "4 slots" in found.text
        assert "http_503" in gaps.text
        assert "tries again" in gaps.text
        (nothing,) = (await pages.page(hours[4]["href"].partition("#")[0])).all("section", id="gaps")
        assert "Every recorded slot of this time is known" in nothing.text


async def test_the_table_has_the_figures_of_the_bars(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        page = await pages.page("/health")
        _, text, _ = await pages.get("/health?format=csv")
        _, body, _ = await pages.get("/health", {"Accept": "application/json"})
    (table,) = next(page.all("details", class_="same")).all("table")
    shown = [[cell.text for cell in line.all("td")] for line in list(table.all("tr"))[1:]]
    report = json.loads(body)
    assert [int(line[0]) for line in shown] == [hour["slots"] for hour in reversed(report["hours"])]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(int(one["slots"]) for one in rows) == sum(hour["slots"] for hour in report["hours"])
    assert report["slots"]["unknown"] == 4 == sum(int(one["slots"]) for one in rows if one["outcome"] != "ok")


async def test_an_empty_installation_shows_no_zero_for_what_is_not_known(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        page = await pages.page("/health")
    values = [found.text for found in page.all("p", class_="value")]
    assert values[0] == "–"
    assert ("workers", "wrong") in verdict_of(page)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("hour=yesterday", "is not an hour"),
        ("hour=2020-01-01T00:00Z", "not one of the last 24"),
        ("hour=0001-01-01T00:00Z", "not one of the last 24"),
        ("outcome=lost", "is not an outcome"),
        ("hour=%00", "not text"),
        ("page=2", "no parameter"),
    ],
)
async def test_a_wrong_parameter_is_refused_with_its_remedy(database_url: str, query: str, what: str) -> None:
    async with pages_of(database_url) as pages:
        status, text, _ = await pages.get(f"/health?{query}")
    assert (status, what in text) == (400, True)


async def test_an_open_page_refreshes_what_can_change_and_says_as_of_when(
    database: Database, database_url: str
) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        whole = await pages.page("/health?outcome=unavailable")
        address = next(one["data-refresh"] for one in whole.all("div") if one["data-refresh"])
        _, text, headers = await pages.get(address, {"Accept": "text/html", "X-Refresh": "1"})
    assert "<html" not in text
    assert verdict_of(parse(text)) == verdict_of(whole)
    assert 'data-org="Birch &amp; &lt;Sons&gt;"' in text
    assert headers["X-As-Of"].endswith("Z")
