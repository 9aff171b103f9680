"""The Seats page: figures, orders, filters and pages in the address, reasons on the row, CSV and JSON alike."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.web.pages.served import pages_of

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.pages.served import Element


async def fill(database: Database) -> None:
    """Five orgs: one without a seat left, one that runs out, one with idle seats, one unknown, one not read."""
    today = database.clock.now().date()
    rows = [
        ("full", 50, 50, None, None, None),
        ("soon", 100, 90, today + timedelta(days=12), today + timedelta(days=5), today + timedelta(days=40)),
        ("idle", 200, 20, None, None, None),
        ("=cmd", None, 7, None, None, None),
        ("unread", None, None, None, None, None),
    ]
    for name, purchased, used, on, low, high in rows:
        org_id = await database.fetchval(
            "INSERT INTO orgs (name, data_center, tags) VALUES ($1, 'eu', ARRAY['gold']) RETURNING id", name
        )
        if purchased:
            await database.execute(
                "INSERT INTO seat_contracts (org_id, purchased, price, currency, updated_at)"
                " VALUES ($1, $2, 20, 'EUR', now())",
                org_id,
                purchased,
            )
        if used:
            await database.execute(
                "INSERT INTO latest_snapshots (org_id, slot, active_users) VALUES ($1, now(), $2)", org_id, used
            )
            await database.execute(
                "INSERT INTO forecast_results (org_id, user_type, made_at, last_day, level, per_day, method,"
                " exhausted_on, exhausted_low, exhausted_high, backtest_error, backtest_windows)"
                " VALUES ($1, 'ActiveUsers', now(), current_date, $2, $3, 'trend', $4, $5, $6, 0.8, 12)",
                org_id,
                used,
                0.5 if on else 0.0,
                on,
                low,
                high,
            )
    await database.execute(
        "INSERT INTO seat_refusals (org_id, code, remedy, since)"
        " SELECT id, 'OAUTH_SCOPE_MISMATCH', 'give consent again', now() FROM orgs WHERE name = '=cmd'"
    )
    for kind, severity in (("step", "warning"), ("admins_up", "critical")):
        await database.execute(
            "INSERT INTO found_anomalies SELECT id, 'ActiveUsers', current_date - 2, $1, 10, 20, 9, 12, $2,"
            " 'a change of 10', now() FROM orgs WHERE name = 'idle'",
            kind,
            severity,
        )


def rows_of(page: Element) -> dict[str, Element]:
    (table,) = page.all("table", class_="cards")
    return {row["data-org"]: row for row in table.all("tr") if row["data-org"]}


async def test_orgs_that_run_out_come_first_and_unknown_seats_say_why_on_the_row(
    database: Database, database_url: str
) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        rows = rows_of(await pages.page("/seats"))
    assert list(rows)[:2] == ["full", "soon"]
    assert "all in use" in rows["full"].text
    assert rows["soon"]["data-runs-out"] == "soon"
    assert "no trend" in rows["idle"].text
    assert "OAUTH_SCOPE_MISMATCH: give consent again" in rows["=cmd"].text
    assert "not read yet" in rows["unread"].text
    cells = [cell.text for cell in rows["unread"].all("td")]
    assert cells[1:] == ["–"] * 8


async def test_totals_by_currency_and_sums_by_tag(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        page = await pages.page("/seats")
        by_tag = await pages.page("/seats?by=tag")
    values = [value.text for value in page.all("p", class_="value")]
    assert values == ["350", "160", "190", "3,800 EUR", "2 orgs", "0 orgs"]
    (gold,) = [row for row in by_tag.one("table", class_="seats").all("tr") if row.text.startswith("gold")]
    assert [cell.text for cell in gold.all("td")][:5] == ["5 (3 known)", "350", "160", "190", "3,800 EUR"]


async def test_the_address_holds_filter_order_and_page(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        assert list(rows_of(await pages.page("/seats?show=unknown"))) == ["=cmd", "unread"]
        assert list(rows_of(await pages.page("/seats?q=ul"))) == ["full"]
        assert list(rows_of(await pages.page("/seats?tag=silver"))) == []
        page = await pages.page("/seats?sort=-idle")
        assert next(iter(rows_of(page))) == "idle"
        (head,) = [one for one in page.one("table", class_="cards").all("th") if one["aria-sort"] == "descending"]
        assert next(head.all("a"))["href"] == "/seats?sort=idle"


async def test_csv_and_json_have_the_same_orgs_and_a_formula_is_text(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        _, text, headers = await pages.get("/seats?format=csv&show=unknown")
        _, body, _ = await pages.get("/seats?show=unknown", {"Accept": "application/json"})
    assert headers["Content-Type"].startswith("text/csv")
    rows, items = list(csv.DictReader(io.StringIO(text))), json.loads(body)["items"]
    assert [row["org"] for row in rows] == ["'=cmd", "unread"]
    assert [item["org"] for item in items] == ["=cmd", "unread"]
    assert (items[0]["purchased"], rows[0]["purchased"]) == (None, "")
    assert items[0]["problem"] == {"code": "OAUTH_SCOPE_MISMATCH", "remedy": "give consent again"}


async def test_anomalies_are_filtered_by_kind_and_severity(database: Database, database_url: str) -> None:
    await fill(database)
    async with pages_of(database_url) as pages:
        for query, kinds in (
            ("", ["admins_up", "step"]),
            ("?kind=step", ["step"]),
            ("?severity=critical", ["admins_up"]),
        ):
            (section,) = (await pages.page(f"/seats{query}")).all("section", id="anomalies")
            found = [row["data-kind"] for row in section.all("tr") if row["data-kind"]]
            assert sorted(found) == kinds
            assert "10 → 20" in section.text


async def test_without_any_org_the_page_says_how_to_add_one(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        page = await pages.page("/seats")
    assert "poller orgs import" in page.text
    assert [value.text for value in page.all("p", class_="value")][:4] == ["–"] * 4


@pytest.mark.parametrize(
    "query", ["sort=color", "after=0", "limit=7", "kind=odd", "show=all&show=idle", "q=%00", "x=1"]
)
async def test_a_wrong_parameter_is_refused(database_url: str, query: str) -> None:
    async with pages_of(database_url) as pages:
        status, text, _ = await pages.get(f"/seats?{query}")
    assert status == 400, text
