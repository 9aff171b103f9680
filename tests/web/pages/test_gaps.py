"""The Gaps page: unknown slots by org and reason with their remedies, filters, pages, the ranges of one org, CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.callers import Caller
from poller.core.model import Outcome
from poller.core.remedies import remedy_for
from poller.query.gaps_page import read_gaps_of_org, read_gaps_page
from poller.store.series.snapshots import write_snapshots
from poller.web.pages.gaps_address import GapsAddress
from tests.query.test_health import OneWall, added, row, slots
from tests.web.pages.served import pages_of

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.pages.served import Element


ACME = "Acme & <Sons>"


async def fill(database: Database) -> dict[str, int]:
    """Acme is unknown for four slots in a row and a later one, each org for one slot, Birch for one long ago too."""
    (acme,) = await added(database, ACME, tag="gold")
    (birch,) = await added(database, "Birch", data_center="in")
    formula, _ = await added(database, "=cmd", "New Ltd")
    times = slots(database.clock.now())
    gaps = {*times[4:8], times[12]}
    rows = []
    for org_id in (acme, birch, formula):
        for slot in times:
            if slot == times[20]:
                rows.append(row(org_id, slot, Outcome.MISSED, "too_late"))
            elif org_id == acme and slot in gaps:
                rows.append(row(org_id, slot, Outcome.UNAVAILABLE, "http_503"))
            else:
                rows.append(row(org_id, slot))
    await write_snapshots(database, rows)
    await write_snapshots(database, [row(birch, times[0] - timedelta(days=20), Outcome.PARTIAL, "NO_PERMISSION")])
    return {ACME: acme, "Birch": birch, "=cmd": formula}


def sums(page: Element) -> list[tuple[str, str, str]]:
    """Org, reason and number of slots of each row of the table."""
    return [
        (one["data-org"], one["data-reason"], next(one.all("td", class_="n")).text)
        for one in page.one("table", class_="gap-sums").all("tr")
        if one["data-reason"]
    ]


def orgs(page: Element) -> list[str]:
    return [org for org, _, _ in sums(page)]


async def test_the_orgs_with_the_most_unknown_slots_come_first_each_with_reason_and_remedy(
    database: Database, database_url: str
) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        page = await pages.page("/gaps?since=2d")
        by_reason = await pages.page("/gaps?since=2d&by=reason")
    assert sums(page) == [
        (ACME, "unavailable: http_503", "5"),
        ("=cmd", "missed: too_late", "1"),
        (ACME, "missed: too_late", "1"),
        ("Birch", "missed: too_late", "1"),
    ]
    why = [cell.text for cell in page.one("table", class_="gap-sums").all("td", class_="why")]
    assert why[0] == f"unavailable (http_503) {remedy_for('http_503')}"
    assert why[1].startswith("missed (too_late) no worker had time for the slot: start another poller run")
    assert [value.text for value in page.all("p", class_="value")] == ["8", "3", "2", "1 org", "2 orgs"]
    assert next(page.all("title")).text == "8 unknown · Gaps · poller"
    assert sums(by_reason) == [("", "unavailable: http_503", "5"), ("", "missed: too_late", "3")]


async def test_the_address_holds_range_reason_search_data_centre_and_tag(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        assert "Birch" in orgs(await pages.page("/gaps?since=30d&by=org&reason=&data_center=in&q=bir"))
        assert len(sums(await pages.page("/gaps?since=30d"))) == 5
        assert orgs(await pages.page("/gaps?reason=unavailable%3A+http_503")) == [ACME]
        assert orgs(await pages.page("/gaps?tag=gold")) == [ACME, ACME]
        page = await pages.page("/gaps?q=BIR&reason=missed%3A+too_late")
        assert orgs(page) == ["Birch"]
        removed = [chip["href"] for chip in page.all("a", class_="remove")]
        assert removed == ["/gaps?reason=missed%3A+too_late", "/gaps?q=BIR"]
        chips = {chip.text: chip["href"] for chip in page.all("a", class_="chip")}
        assert chips["missed (too_late) 1"] == "/gaps?q=BIR", "a chosen reason is taken away"
        assert "No gap matches" in (await pages.page("/gaps?q=100%25")).text


async def test_pages_follow_each_other_and_have_50_100_or_250_rows(database: Database, database_url: str) -> None:
    now = database.clock.now()
    ids = await added(database, *(f"Org {number:03}" for number in range(120)))
    slot = slots(now)[0]
    await write_snapshots(database, [row(one, slot, Outcome.UNAVAILABLE, "http_503") for one in ids])
    async with pages_of(database_url) as pages:
        page, seen = await pages.page("/gaps?limit=50"), []
        for size in (50, 50, 20):
            seen += orgs(page)
            following = [link["href"] for link in page.all("a", rel="next")]
            assert (len(orgs(page)), bool(following)) == (size, size == 50)
            if following:
                page = await pages.page(following[0])
        assert seen == [f"Org {number:03}" for number in range(120)]
        assert [link["href"] for link in page.all("a", rel="prev")] == ["/gaps?limit=50&start=51"]
        tabs = {link.text: link["href"] for link in page.one("nav", aria_label="Rows of a page").all("a")}
        assert tabs == {"50": "/gaps?limit=50", "100": "/gaps", "250": "/gaps?limit=250"}
        assert "no such page" in (await pages.page("/gaps?start=5000")).text


async def test_one_org_has_its_slots_as_ranges_and_its_page_and_health_lead_there(
    database: Database, database_url: str
) -> None:
    ids = await fill(database)
    async with pages_of(database_url) as pages:
        org_page = await pages.page(f"/orgs/{ids[ACME]}?since=7d")
        (link,) = [one["href"] for one in org_page.all("a") if one["href"].startswith("/gaps")]
        assert link == f"/gaps?org={ids[ACME]}&since=7d"
        page = await pages.page(link)
        health = await pages.page("/health")
        status, _, _ = await pages.get("/gaps?org=999999")
    assert "/gaps?since=24h" in [one["href"] for one in health.all("a")]
    ranges = [[cell.text for cell in one.all("td")][2:] for one in page.one("table", class_="ranges").all("tr")]
    assert ranges[1:] == [
        ["1", "missed (too_late)"],
        ["1", "unavailable (http_503)"],
        ["4", "unavailable (http_503)"],
    ]
    assert orgs(page) == [ACME, ACME]
    assert f"/orgs/{ids[ACME]}" in [one["href"] for one in page.all("a")]
    assert status == 404


async def test_csv_and_json_have_every_row_and_a_formula_is_text(database: Database, database_url: str) -> None:
    ids = await fill(database)
    async with pages_of(database_url) as pages:
        _, text, headers = await pages.get("/gaps?since=30d&limit=50&start=3&format=csv")
        _, body, _ = await pages.get("/gaps?since=30d", {"Accept": "application/json"})
    assert headers["Content-Type"].startswith("text/csv")
    rows, found = list(csv.DictReader(io.StringIO(text))), json.loads(body)
    assert [one["org"] for one in rows] == [ACME, "'=cmd", ACME, "Birch", "Birch"]
    assert [one["org"] for one in found["items"]] == [ACME, "=cmd", ACME, "Birch", "Birch"]
    assert (rows[0]["slots"], rows[0]["org_id"], rows[0]["remedy"]) == ("5", str(ids[ACME]), remedy_for("http_503"))
    assert (found["slots"], found["orgs"], found["never_polled_orgs"], found["next"]) == (9, 3, 1, None)
    (partial,) = [one for one in found["reasons"] if one["reason"].startswith("partial")]
    assert partial["remedy"] == remedy_for("NO_PERMISSION")


async def test_an_org_of_other_tags_is_not_there_and_its_gaps_are_in_no_sum(database: Database) -> None:
    ids = await fill(database)
    gold, reader = Caller("gold", tags=("gold",)), OneWall(database)
    for name, slots_of in ((ACME, 6), ("Birch", None)):
        question = GapsAddress(org=ids[name]).question(gold, reader.now(), UTC)
        found = await read_gaps_of_org(database, question, gold.visible_tags)
        assert (found and sum(one.slots for one in found[1])) == slots_of
        assert (await read_gaps_page(reader, gold, question)).slots == (slots_of or 0)


async def test_without_gaps_the_page_says_that_every_slot_is_known(database: Database, database_url: str) -> None:
    (org,) = await added(database, "Acme")
    await write_snapshots(database, [row(org, slot) for slot in slots(database.clock.now())])
    async with pages_of(database_url) as pages:
        page = await pages.page("/gaps?since=20h")
    assert "Every slot of this range is known" in page.one("table", class_="gap-sums").text
    assert next(page.all("p", class_="value")).text == "0"


@pytest.mark.parametrize(
    "query", ["since=soon", "org=0", "limit=7", "start=0", "by=day", "q=%00", "reason=%00", "x=1", "since=7d&since=1d"]
)
async def test_a_wrong_parameter_is_refused(database_url: str, query: str) -> None:
    async with pages_of(database_url) as pages:
        status, text, _ = await pages.get(f"/gaps?{query}")
    assert status == 400, text
