"""The page of one org: its state and remedy, its counts as chart, table, CSV and JSON, its polls, gaps and limits."""

from __future__ import annotations

import csv
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.callers import Caller
from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.query.forecast_fans import ForecastFans
from poller.query.org_page import read_org_page
from poller.query.reader import Reader
from poller.query.series import SeriesQuestion
from poller.store.capacity.seats import SeatReading, save_seats
from poller.store.orgs.parking import park
from poller.store.read_only import connect_read_only
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.worker.analyses import forecast_fleet
from tests.web.pages.served import HTML, Pages, pages_of, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from poller.store.database import Database
    from tests.web.pages.served import Element

QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
JSON = {"Accept": "application/json"}


def ok(org_id: int, slot: datetime, active: int) -> Snapshot:
    counts = {kind: active + place for place, kind in enumerate(USER_TYPES)}
    return Snapshot(
        org_id, slot, slot, Outcome.OK, counts=counts, requests=10, duration_ms=180, credits_remaining=41_200
    )


def failed(org_id: int, slot: datetime, outcome: Outcome = Outcome.UNAVAILABLE, code: str = "http_503") -> Snapshot:
    return Snapshot(org_id, slot, slot, outcome, code, requests=30, duration_ms=2_000)


async def add_org(database: Database, name: str = "Castle Foods 17", tags: Sequence[str] = ("gold",)) -> int:
    org_id: int = await database.fetchval(
        "INSERT INTO orgs (name, data_center, edition, licences, tags) VALUES ($1, 'us', 'enterprise', 1500, $2)"
        " RETURNING id",
        name,
        list(tags),
    )
    return org_id


@pytest.fixture
async def org(database: Database) -> int:
    return await add_org(database)


@pytest.fixture
def slot(database: Database) -> Callable[[int], datetime]:
    """The start of the slot that many slots ago."""
    now = database.clock.now()
    newest = datetime.fromtimestamp(now.timestamp() // 900 * 900, UTC)
    return lambda ago: newest - QUARTER * ago


@pytest.fixture
async def pages(database_url: str) -> AsyncIterator[Pages]:
    async with pages_of(database_url) as opened:
        yield opened


def table(page: Element) -> list[list[str]]:
    """The cells of the table below the chart."""
    (body,) = page.one("details", id="figures").all("tbody")
    return [[cell.text for cell in row.all("td")] for row in body.all("tr")]


def chart(page: Element) -> dict[str, Any]:
    """What the script draws."""
    found: dict[str, Any] = json.loads(page.one("figure", id="chart")["data-chart"])
    return found


async def test_the_page_shows_state_counts_polls_and_limits_of_the_org(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(database, [ok(org, slot(ago), 900 - ago) for ago in range(1, 5)])
    page = await pages.page(f"/orgs/{org}?since=24h")
    assert page.one("title").text == "ok · Castle Foods 17 · poller"
    assert page.one("h1").text == "Castle Foods 17"
    assert "● ok" in page.one("p", class_="org-state").text
    figures = page.one("dl", class_="figures").text
    assert "Active users 900" in figures
    assert "of 1,500" in figures
    polls = page.one("section", class_="polls")
    assert len(list(polls.one("tbody").all("tr"))) == 4
    assert "ok 180 10 41,200 0 s" in polls.text
    limits = page.one("div", id="polls").text
    assert "10 in flight, 50 a second" in limits
    assert "every 15 m, not stretched" in limits


async def test_the_table_below_the_chart_has_the_figures_of_the_chart_the_csv_and_the_json(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(
        database, [failed(org, slot(ago)) if ago in {7, 8} else ok(org, slot(ago), 900 - ago) for ago in range(1, 90)]
    )
    address = f"/orgs/{org}?since=24h&type=AllUsers&type=ActiveUsers"
    page = await pages.page(address)
    drawn = chart(page)
    assert [line["type"] for line in drawn["lines"]] == ["AllUsers", "ActiveUsers"]
    rows = table(page)
    assert len(rows) == len(drawn["t"]) == len(drawn["lines"][0]["last"])
    for n, at in enumerate(reversed(drawn["t"])):
        shown = ["–" if line["last"][-1 - n] is None else f"{line['last'][-1 - n]:,}" for line in drawn["lines"]]
        assert rows[n][:3] == [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}", *shown]

    _, text, headers = await pages.get(f"{address}&format=csv")
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    points = list(csv.DictReader(text.splitlines()))
    status, body, _ = await pages.get(address, JSON)
    assert status == 200
    answer = json.loads(body)
    assert answer["org"]["name"] == "Castle Foods 17"
    assert answer["series"]["step_seconds"] == 900
    for read in (points, answer["series"]["points"]):
        active = [point["last"] for point in read if point["type"] == "ActiveUsers"]
        assert [None if value in {"", None} else int(value) for value in active] == drawn["lines"][1]["last"]


async def test_a_gap_is_a_gap_with_its_reason_and_a_reading_between_two_gaps_is_a_dot(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    gap = {2, 3, 5, 6}
    await write_snapshots(
        database, [failed(org, slot(ago)) if ago in gap else ok(org, slot(ago), 900) for ago in range(1, 10)]
    )
    page = await pages.page(f"/orgs/{org}?since=24h")
    assert [gap[2] for gap in chart(page)["gaps"]] == ["unavailable (http_503)"] * 2
    rects = list(page.all("rect", class_="gap"))
    assert [rect.text for rect in rects] == ["unavailable (http_503)"] * 2
    (line,) = page.all("path", class_="line")
    # The reading four slots ago stands between two gaps: a line of no length.
    assert len(re.findall(r"M[0-9. ]+h0", line["d"])) == 2  # and the newest one, after the second gap
    cells = [row for row in table(page) if row[1] == "–" and row[2] == "unavailable (http_503)"]
    assert len(cells) == 4
    gaps = page.one("div", id="range-facts")
    assert "2 unavailable (http_503)" in gaps.text


async def test_days_show_minimum_and_maximum_and_hiding_the_band_keeps_the_rest_of_the_address(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    begin = slot(0).replace(hour=0, minute=0) - 3 * DAY
    await write_snapshots(database, [ok(org, begin + HOUR * n, count) for n, count in enumerate([900, 880, 910, 905])])
    await roll_up(database, (begin + DAY).date())
    page = await pages.page(f"/orgs/{org}?type=AllUsers")
    row = next(row for row in table(page) if row[0] == f"{begin:%Y-%m-%d}")
    assert row[1:3] == ["905", "880–910"]
    (band,) = [link for link in page.all("a", class_="chip") if "min–max" in link.text]
    assert band["href"] == f"/orgs/{org}?type=AllUsers&band=0"
    hidden = await pages.page(band["href"])
    assert "min" not in chart(hidden)["lines"][0]
    assert next(row for row in table(hidden) if row[0] == f"{begin:%Y-%m-%d}")[1:2] == ["905"]


async def test_a_parked_org_shows_what_zoho_said_since_when_the_next_probe_and_steps(
    database: Database, pages: Pages, org: int
) -> None:
    now = database.clock.now()
    await park(
        database, org, "invalid_grant", "the consent was revoked; import it again", now, outcome=Outcome.UNAUTHORIZED
    )
    page = await pages.page(f"/orgs/{org}")
    assert page.one("title").text.startswith("parked")
    panel = page.one("section", class_="remedy-panel")
    assert "Zoho said invalid_grant" in panel.text
    assert "The next probe is at" in panel.text
    steps = [step.text for step in panel.all("li")]
    assert steps[:2] == ["The consent was revoked.", "Import it again."]
    assert "poller orgs check 'Castle Foods 17'" in steps[2]


async def test_an_org_that_was_never_polled_has_no_zero_anywhere(pages: Pages, org: int) -> None:
    page = await pages.page(f"/orgs/{org}")
    assert "○ never polled" in page.one("p", class_="org-state").text
    assert "No count is known in this range." in page.one("figure", id="chart").text
    legend = page.one("div", class_="legend")
    assert {cell.text for row in legend.one("tbody").all("tr") for cell in row.all("td")} == {"–"}
    assert not list(page.all("svg", class_="chart-svg"))


async def test_a_removed_org_keeps_its_page_with_its_history(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(database, [ok(org, slot(ago), 900) for ago in range(1, 5)])
    await database.execute("UPDATE orgs SET removed_at = now() WHERE id = $1", org)
    page = await pages.page(f"/orgs/{org}?since=24h")
    assert "× removed" in page.one("p", class_="org-state").text
    assert 900 + 1 in chart(page)["lines"][0]["last"]


async def test_an_org_that_does_not_exist_is_one_and_the_same_refusal(pages: Pages, org: int) -> None:
    wrong = ["2", "0", "2147483648", "99999999999999999999", "-1", "abc", "1%00", "%D9%A1"]
    for part in ("", "/now", "/polls"):
        refusals = set()
        for org_id in wrong:
            status, text, _ = await pages.get(f"/orgs/{org_id}{part}", JSON)
            refusals.add((status, text))
        assert len(refusals) == 1, refusals
        assert next(iter(refusals))[0] == 404
    status, text, _ = await pages.get("/orgs/2")
    assert status == 404
    assert parse(text).one("h1").text == "There is no such org"


async def test_an_address_that_cannot_be_answered_says_why(pages: Pages, org: int) -> None:
    for query, words in {
        "since=tomorrow": "is not a duration",
        "since=1d&until=2d": "end before it begins",
        "since=1d&since=2d": "given twice",
        "type=Robots": "is not a user type",
        "&".join(["type=AllUsers"] * 11): "ten user types",
        "from=2026-02-31": "is not a date",
        "from=2026-02-01&to=9999-12-31": "is not a date",
        "colour=red": "no parameter",
        "since=%00": "not text",
        "type=%ED%A0%80": "not a user type",
        "every=0m": "is not a duration",
        "format=xml": "is not a format",
    }.items():
        status, text, _ = await pages.get(f"/orgs/{org}?{query}")
        assert status == 400, (query, text)
        page = parse(text)
        assert words in page.one("h1").text, query
        assert "Remedy" in page.text


async def test_a_caller_with_tags_reads_the_page_of_its_own_org_and_finds_no_other(
    database_url: str, database: Database, org: int, slot: Callable[[int], datetime]
) -> None:
    other = await add_org(database, "Ashford Bakeries", ["silver"])
    await write_snapshots(database, [ok(one, slot(ago), 900) for one in (org, other) for ago in range(1, 5)])
    async with await connect_read_only(database_url) as readable:
        caller = Caller("customer", tags=("gold",))
        seen, now = Reader(readable).seen_by(caller), database.clock.now()
        question = SeriesQuestion.parse(now, types=["ActiveUsers"], since="1d")
        for org_id, visible_tags in ((org, caller.visible_tags), (other, caller.visible_tags), (other, None)):
            # The third time only PostgreSQL refuses: row-level security does not depend on the query.
            view = await read_org_page(seen, org_id, question, ForecastFans(), now=now, visible_tags=visible_tags)
            assert (view is not None) == (org_id == org)
            if view is not None:
                assert 900 + 1 in view.series.types[0].last
                assert len(view.current.polls) == 4


async def test_own_days_include_both_ends(database: Database, pages: Pages, org: int) -> None:
    day = datetime(2026, 11, 10, tzinfo=UTC)
    await write_snapshots(database, [ok(org, day + DAY * n, 900 + n) for n in range(5)])
    page = await pages.page(f"/orgs/{org}?from=2026-11-11&to=2026-11-13&every=1d")
    assert [row[0] for row in table(page)] == ["2026-11-13", "2026-11-12", "2026-11-11"]
    assert [field["value"] for field in page.all("input", type="date")] == ["2026-11-11", "2026-11-13"]


async def test_the_forecast_is_a_fan_with_its_past_error_and_the_seats_are_a_line(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    begin = slot(0).replace(hour=0, minute=0) - 200 * DAY
    await database.execute("UPDATE rollup_state SET rolled_until = $1", begin.date())
    await write_snapshots(database, [ok(org, begin + DAY * n, 800 + n // 2) for n in range(200)])
    await roll_up(database, slot(0).date())
    for days, seats in ((60, 900), (30, 950)):
        await save_seats(database, org, SeatReading(seats, 890, None, None, "features"), slot(0) - days * DAY)
    await forecast_fleet(database, database.clock.now())
    page = await pages.page(f"/orgs/{org}")
    drawn = chart(page)
    assert len(drawn["fan"]) == 30
    assert all(low95 <= low80 <= high80 <= high95 for _, _, low80, high80, low95, high95 in drawn["fan"])
    assert [seats for _, seats in drawn["seats"]] == [900, 950, 950]
    assert "tests on its own past" in page.one("p", class_="chart-notes").text
    assert "seats changed from 900 to 950" in page.one("div", id="range-facts").text
    assert list(page.all("path", class_="fan80"))
    bare = chart(await pages.page(f"/orgs/{org}?seats=0&forecast=0"))
    assert (bare["seats"], bare["fan"]) == ([], [])
    # Stored errors that are no table of this version count as absent.
    await database.execute("UPDATE forecast_quantiles SET errors80 = '{{1,2}}'")
    await database.execute("UPDATE forecast_results SET made_at = made_at - interval '1 second'")
    assert len(chart(await pages.page(f"/orgs/{org}"))["fan"]) == 30


async def test_the_parts_that_change_are_sent_again_only_after_a_change(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(database, [ok(org, slot(2), 900)])
    tags = {}
    for part in ("now", "polls"):
        _, _, headers = await pages.get(f"/orgs/{org}/{part}")
        tags[part] = {**HTML, "If-None-Match": headers["ETag"]}
        assert (await pages.get(f"/orgs/{org}/{part}", tags[part]))[0] == 304, part
    await write_snapshots(database, [ok(org, slot(1), 905)])
    for part, words in (("now", "906"), ("polls", "polls-title")):
        status, text, _ = await pages.get(f"/orgs/{org}/{part}", tags[part])
        assert status == 200, part
        assert words in text


async def test_a_year_of_quarter_hours_is_a_page_of_ten_kilobytes_beside_the_data_of_the_chart(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    begin = slot(0) - 365 * DAY
    await write_snapshots(database, [ok(org, begin + 6 * HOUR * n, 900 + n % 7) for n in range(4 * 365)], new=True)
    _, text, _ = await pages.get(f"/orgs/{org}?since=1y")
    page = parse(text)
    assert len(table(page)) == 366
    data = page.one("figure", id="chart")["data-chart"]
    bare = re.sub(r"<svg class=\"chart-svg\".*?</svg>|<tbody>(<tr><td>[0-9]{4}-.*?)</tbody>", "", text, flags=re.DOTALL)
    bare = re.sub(r'data-chart="[^"]*"', "", bare)
    assert len(data) > 2_000
    assert len(gzip.compress(bare.encode(), 6)) < 10_000


async def test_types_are_shown_and_hidden_by_links_in_the_legend_and_one_always_stays(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(database, [ok(org, slot(1), 900)])
    page = await pages.page(f"/orgs/{org}?since=7d")
    links = {link.text: link for link in page.one("div", class_="legend").all("a")}
    assert list(links) == [kind.value for kind in USER_TYPES]
    assert [name for name, link in links.items() if link["aria-pressed"] == "true"] == [UserType.ACTIVE]
    both = await pages.page(links["AdminUsers"]["href"])
    assert [line["type"] for line in chart(both)["lines"]] == ["ActiveUsers", "AdminUsers"]
    same = await pages.page(links["ActiveUsers"]["href"])
    assert [line["type"] for line in chart(same)["lines"]] == ["ActiveUsers"]


async def test_the_newest_six_events_are_shown_and_the_others_on_demand(
    database: Database, pages: Pages, org: int, slot: Callable[[int], datetime]
) -> None:
    await write_snapshots(database, [ok(org, slot(1), 900)])
    await database.execute(
        "INSERT INTO found_anomalies (org_id, user_type, day, kind, before, after, expected_low, expected_high,"
        " severity, why, found_at) SELECT $1, 'AdminUsers', current_date - n, 'admins_up', 72, 73, 0, 72, 'warning',"
        " '1 more administrator than the day before', now() FROM generate_series(1, 9) AS n",
        org,
    )
    page = await pages.page(f"/orgs/{org}?since=30d")
    older = page.one("details", class_="older")
    shown = [item.text for events in page.all("ul", class_="events") for item in events.all("li")]
    assert len(shown) == 10
    assert len(list(older.all("li"))) == 4
    assert older.one("summary").text == "and 4 more"
    assert shown[1].endswith("Administrators 72 → 73")
