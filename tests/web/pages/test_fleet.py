"""The Fleet page: order, filters, paging, live rows, CSV and JSON, and what it says when there is nothing to show."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.postgres import address, name_of, run_on
from tests.query.fleet_rows import Row, write
from tests.web.pages.served import HTML, pages_of, parse

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.pages.served import Element, Pages

FLEET = (
    Row("Acme 10", tags=("gold", "emea"), count=12, week_ago=10, month_ago=20, seats=15, runs_out_in=9),
    Row("Acme 9", tags=("gold",), count=None, edition="enterprise"),
    Row("Zeta", state="parked", tags=("silver",), data_center="us"),
    Row("Beta", state="failing", tags=("silver",)),
    Row("=cmd()", state="paused", count=3),
)


def orgs_of(page: Element) -> list[str]:
    return [row["data-org"] for row in page.all("tr") if row["data-org"]]


def row_of(page: Element, org: str) -> Element:
    return next(row for row in page.all("tr", data_org=org))


def chips_of(page: Element) -> dict[str, str]:
    (chips,) = page.all("nav", class_="chips")
    found = (chip.text.rpartition(" ") for chip in chips.all("a", class_="chip"))
    return {word: count for word, _, count in found}


async def test_orgs_that_need_a_person_come_first_with_reason_and_remedy_on_the_row(
    database: Database, database_url: str
) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
    assert orgs_of(page) == ["Beta", "Zeta", "=cmd()", "Acme 9", "Acme 10"]
    assert [row["data-state"] for row in page.all("tr") if row["data-org"]][:3] == ["failing", "parked", "paused"]
    why = [row.text for row in page.all("tr", class_="why")]
    assert "http_503" in why[0]
    assert "tries again automatically" in why[0]
    assert re.match(r"invalid_code for \d+ s: Zoho no longer takes the org's refresh token", why[1])
    notices = page.one("ul", class_="notices").text
    assert "1 org is parked : invalid_code" in notices
    assert "2 need a person" in page.one("title").text


async def test_unknown_counts_are_a_dash_with_a_reason_and_never_zero(database: Database, database_url: str) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
    row = row_of(page, "Acme 9")
    cells = {cell["class"].split()[-1]: cell for cell in row.all("td")}
    for name in ("c-count", "c-seats", "c-7d", "c-30d", "c-out"):
        assert cells[name].text == "–"
        assert cells[name].one("abbr")["title"]
    known = row_of(page, "Acme 10").text
    assert "+2" in known
    assert "−8" in known
    totals = [figure.text for figure in page.all("div", class_="figure")]
    assert totals[0] == "Active users 35 +2 in 7 days of 1 org, 4 not comparable · 1 unknown"
    assert totals[1] == "Seats 15 80 % used · 4 unknown"


async def test_facets_combine_and_each_link_leaves_the_orgs_that_it_counts(
    database: Database, database_url: str
) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
        assert chips_of(page) == {
            "all": "5",
            "needs a person": "2",
            "failing": "1",
            "parked": "1",
            "paused": "1",
            "ok": "2",
        }
        followed = 0
        for menu in page.all("details", class_="menu"):
            for link in menu.all("a"):
                if any(link["href"].startswith(f"/?{facet}=") for facet in ("tag", "data_center", "edition")):
                    left = await pages.page(link["href"])
                    assert len(orgs_of(left)) == int(link.text.rpartition(" ")[2]), link["href"]
                    followed += 1
        assert followed == 7
        page = await pages.page("/?tag=gold&tag=emea&state=ok&q=ACME")
        assert orgs_of(page) == ["Acme 10"]
        (chip,) = page.all("a", class_="remove", aria_label="Remove the filter Tag: emea")
        assert orgs_of(await pages.page(chip["href"])) == ["Acme 9", "Acme 10"]
        page = await pages.page("/?q=nothing")
        assert orgs_of(page) == []
        assert "No org matches" in page.text


async def test_links_before_and_after_show_every_org_once_and_keep_the_filters(
    database: Database, database_url: str
) -> None:
    names = [f"Org {number}" for number in range(120)]
    await write(database, [Row(name, tags=("gold",)) for name in names])
    async with pages_of(database_url) as pages:
        page = await pages.page("/?tag=gold&sort=-org&rows=50")
        seen, places = orgs_of(page), []
        while following := list(page.all("a", rel="next")):
            page = await pages.page(following[0]["href"])
            assert parse_qs(urlsplit(following[0]["href"]).query)["tag"] == ["gold"]
            seen += orgs_of(page)
            places.append(page.one("div", class_="table-bar").one("p").text)
        assert seen == names[::-1]
        assert places == ["51–100 of 120, by name, highest first", "101–120 of 120, by name, highest first"]
        page = await pages.page(page.one("a", rel="prev")["href"])
        assert orgs_of(page) == names[69:19:-1]
        page = await pages.page(page.one("a", rel="prev")["href"])
        assert orgs_of(page) == names[:69:-1]
        assert not list(page.all("a", rel="prev"))


async def test_a_heading_sorts_and_says_so(database: Database, database_url: str) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
        (heading,) = page.all("th", class_="h-count")
        page = await pages.page(heading.one("a")["href"])
        (heading,) = page.all("th", class_="h-count")
        assert heading["aria-sort"] == "descending"
        assert orgs_of(page)[0] == "Acme 10"
        assert orgs_of(page)[-1] == "Acme 9", "unknown comes last"
        page = await pages.page(heading.one("a")["href"])
        assert orgs_of(page)[0] == "=cmd()"
        assert orgs_of(page)[-1] == "Acme 9", "in both directions"


async def test_chosen_columns_are_shown_in_the_order_of_the_table(database: Database, database_url: str) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/?column=polls&column=edition&column=state&type=AdminUsers")
        (head,) = page.all("thead")
        assert [cell.text for cell in head.all("th")] == ["Org", "State", "Edition", "Last polls"]
        assert "Users: Admin" in page.text


async def test_csv_has_every_row_of_the_filter_and_no_formula(database: Database, database_url: str) -> None:
    await write(database, [*FLEET, *(Row(f"More {number}", tags=("many",)) for number in range(600))])
    async with pages_of(database_url) as pages:
        status, text, headers = await pages.get("/?format=csv&sort=org")
        assert status == 200
        assert headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 605
        assert rows[0]["name"] == "'=cmd()"
        acme = next(row for row in rows if row["name"] == "Acme 9")
        assert (acme["ActiveUsers"], acme["change_7d"], acme["edition"]) == ("", "", "enterprise")
        _, text, _ = await pages.get("/?format=csv&tag=gold&column=count&column=state", {"Accept": "text/csv"})
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["name"] for row in rows] == ["Acme 9", "Acme 10"]
        assert "change_7d" not in rows[0]


async def test_json_has_a_page_of_rows_and_the_place_of_the_next(database: Database, database_url: str) -> None:
    await write(database, [Row(f"Org {number}") for number in range(60)])
    async with pages_of(database_url) as pages:
        _, text, headers = await pages.get("/?rows=50&sort=org", {"Accept": "application/json"})
        assert headers["Content-Type"].startswith("application/json")
        first = json.loads(text)
        _, text, _ = await pages.get(f"/?rows=50&sort=org&after={first['next_cursor']}", {"Accept": "application/json"})
        second = json.loads(text)
    names = [item["name"] for item in first["items"] + second["items"]]
    assert names == [f"Org {number}" for number in range(60)]
    assert second["next_cursor"] is None
    assert first["items"][0]["counts"]["ActiveUsers"] == 10
    assert first["items"][0]["counts"]["AllUsers"] is None


def shown_by(page: Element) -> str:
    rows = [body for body in page.all("tbody") if body["data-digest"]]
    return "-".join(f"{next(row.all('a'))['href'].rpartition('/')[2]}.{row['data-digest']}" for row in rows)


async def test_only_rows_that_changed_are_sent_again(database: Database, database_url: str) -> None:
    ids = await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
        refresh = page.one("table", class_="fleet")["data-refresh"]
        status, text, headers = await pages.get(f"{refresh}&shown={shown_by(page)}")
        assert (status, text) == (204, "")
        assert headers["X-As-Of"]
        await database.execute("UPDATE orgs SET parked_at = now(), parked_code = 'x' WHERE id = $1", ids[0])
        status, text, _ = await pages.get(f"{refresh}&shown={shown_by(page)}")
        assert status == 200
        assert [(row["data-org"], row["data-state"]) for row in parse(text).all("tr") if row["data-org"]] == [
            ("Acme 10", "parked")
        ]


async def test_what_stands_above_the_table_is_sent_again_only_if_it_changed(
    database: Database, database_url: str
) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/?tag=gold")
        refresh = page.one("div", id="summary")["data-refresh"]
        status, text, headers = await pages.get(refresh)
        assert status == 200
        assert "Known now" in parse(text).text
        assert (await pages.get(refresh, {**HTML, "If-None-Match": headers["ETag"]}))[0] == 304


async def test_the_table_of_the_chart_has_every_day(database: Database, database_url: str) -> None:
    await write(database, FLEET)
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
        load = page.one("details", class_="chart-table")["data-load"]
        rows = list((await pages.page(load)).one("tbody").all("tr"))
    assert len(rows) == 91
    assert rows[1].text.endswith("– 0")


async def test_an_empty_fleet_says_how_to_import_orgs(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
    assert "poller orgs import" in page.text
    assert not list(page.all("table"))


@pytest.mark.parametrize(
    "query",
    [
        "nothing=1",
        "q=a&q=b",
        "q=%00",
        "q=" + "a" * 3_000,
        "tag=" + "&tag=".join("a" * 101),
        "tag=",
        "state=lost",
        "type=Users",
        "rows=99",
        "rows=1_00",
        "start=0",
        "start=99999999999999999999",
        "sort=name",
        "sort=org;",
        "column=nothing",
        "after=!!",
        "after=W10",
        "after=WyJhIiwiYiIsMV0&sort=count",
        "after=WzEsImIiLDFd&sort=tags",
        "after=WzEsIlx1MDAwMCIsMV0",
        "after=WzEsImIiLDk5OTk5OTk5OTk5OV0",
        "after=WzEsImIiLDFd&before=WzEsImIiLDFd",
        "q=%ff%fe",
        "q=%ed%a0%80",
        "format=xml",
    ],
)
async def test_a_wrong_address_is_a_page_that_says_what_is_wrong(database_url: str, query: str) -> None:
    async with pages_of(database_url) as pages:
        status, text, _ = await pages.get(f"/?{query}")
        assert status in {400, 422}
        page = parse(text)
        assert "Remedy" in page.one("main").text
        status, text, _ = await pages.get(f"/?{query}", {"Accept": "application/json"})
        assert status in {400, 422}
        assert "<" not in text


@pytest.mark.parametrize("shown", ["x", "1.abcd1", "1.abcg", "99999999999.abcd", "1.abcd--"])
async def test_wrong_rows_are_refused(database_url: str, shown: str) -> None:
    async with pages_of(database_url) as pages:
        assert (await pages.get(f"/rows?shown={shown}"))[0] == 400
        assert (await pages.get("/rows?shown=9999999999.abcd"))[0] == 204


async def test_without_the_database_the_page_says_since_when_and_recovers(
    database: Database, database_url: str, server_dsn: str
) -> None:
    await write(database, FLEET)
    name = name_of(database_url)
    async with pages_of(database_url) as pages:
        await pages.page("/")
        await run_on(address(server_dsn, "postgres"), f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            await run_on(
                address(server_dsn, "postgres"),
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            )
            status, page = await _eventually_away(pages)
            assert status == 503
            assert "Not updated since" in page.text
            assert "poller doctor" in page.text
        finally:
            await run_on(address(server_dsn, "postgres"), f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert len(orgs_of(await pages.page("/"))) == len(FLEET)


async def _eventually_away(pages: Pages) -> tuple[int, Element]:
    async with asyncio.timeout(60):
        while True:
            status, text, _ = await pages.get("/")
            if status != 200:
                return status, parse(text)


async def test_the_age_is_that_of_the_counts_and_not_of_the_last_attempt(database: Database, database_url: str) -> None:
    ids = await write(database, (Row("fresh"), Row("old", state="parked", count=7), Row("unknown", count=None)))
    await database.execute(
        "UPDATE latest_snapshots SET polled_at = now() - interval '5 hours' WHERE org_id = $1", ids[1]
    )
    async with pages_of(database_url) as pages:
        page = await pages.page("/?sort=counts_at")
        assert orgs_of(page) == ["old", "fresh", "unknown"]
        assert row_of(page, "old").one("td", class_="c-at").text == "5 h"
        assert row_of(page, "unknown").one("td", class_="c-at").one("abbr")["title"] == "no count is known yet"
        assert orgs_of(await pages.page("/?sort=-counts_at")) == ["fresh", "old", "unknown"]


async def test_the_change_of_an_org_with_old_counts_is_unknown_on_both_pages(
    database: Database, database_url: str
) -> None:
    ids = await write(database, (Row("fresh", week_ago=8), Row("old", week_ago=8)))
    await database.execute(
        "UPDATE latest_snapshots SET polled_at = now() - interval '2 days' WHERE org_id = $1", ids[1]
    )
    async with pages_of(database_url) as pages:
        fleet = await pages.page("/")
        for org_id, name, change in zip(ids, ("fresh", "old"), ("+2", "–"), strict=True):
            assert row_of(fleet, name).one("td", class_="c-7d").text == change
            figures = (await pages.page(f"/orgs/{org_id}")).one("dl", class_="figures")
            assert f"Active users 10 {change} in 7 d" in figures.text
