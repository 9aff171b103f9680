"""The Alerts page: what fires first, filters in the address, buttons and undo, one alert's history and messages."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from poller.core.secret import Secret
from poller.store.queue.addresses import default_addresses
from poller.web import Access
from tests.alert_rows import add_alert
from tests.web.pages.served import HTML, pages_of, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from tests.web.pages.served import Element, Pages

KEY = "0123456789abcdef" * 2
ADDRESS = "mailto://user:hunter2@mail.example"


@pytest.fixture
async def pages(database_url: str, keyring: Keyring) -> AsyncIterator[Pages]:
    async with pages_of(database_url, keyring=keyring, access=Access(SecretStr(KEY))) as opened:
        yield opened


async def org_of(database: Database, name: str, *tags: str) -> int:
    found: int = await database.fetchval(
        "INSERT INTO orgs (name, data_center, tags) VALUES ($1, 'eu', $2) RETURNING id", name, list(tags)
    )
    return found


async def fill(database: Database) -> dict[str, int]:
    """An alert of each state; their numbers by org."""
    rows = [
        ("calm", "seats_used", "resolved", "warning"),
        ("soon", "seats_run_out", "pending", "warning"),
        ("taken", "seats_used", "acknowledged", "warning"),
        ("asleep", "seats_used", "snoozed", "warning"),
        ("full", "seats_used", "firing", "warning"),
        ("<parked>", "org_parked", "firing", "critical"),
    ]
    return {
        org: await add_alert(database, rule, await org_of(database, org, "gold", org.strip("<>")), state, severity=how)
        for org, rule, state, how in rows
    }


def rows(page: Element) -> list[Element]:
    return [row for row in page.all("li") if row["data-alert"]]


def listed(page: Element) -> list[str]:
    return [row["data-org"] for row in rows(page)]


def state_of(page: Element, alert_id: int) -> str:
    return next(row["data-state"] for row in rows(page) if row["data-alert"] == str(alert_id))


async def test_firing_alerts_come_first_the_most_urgent_on_top(database: Database, pages: Pages) -> None:
    await fill(database)
    page = await pages.page("/alerts")
    assert listed(page) == ["<parked>", "full", "soon", "taken", "asleep", "calm"]
    assert page.one("title").text == "2 firing · Alerts · poller"
    assert page.one("b", id="firing").text == "2 firing"
    assert "all open 5" in page.one("a", class_="chip", aria_current="true").text
    assert "■ critical" in rows(page)[0].text
    assert "97 of 100 seats are used" in rows(page)[0].text


async def test_the_filters_are_in_the_address_and_combine(database: Database, pages: Pages) -> None:
    await fill(database)
    for address, orgs in (
        ("?state=firing", ["<parked>", "full"]),
        ("?state=resolved", ["calm"]),
        ("?severity=critical", ["<parked>"]),
        ("?rule=seats_used&state=firing", ["full"]),
        ("?tag=gold&tag=full", ["full"]),
        ("?q=PARK", ["<parked>"]),
        ("?q=nothing", []),
    ):
        page = await pages.page(f"/alerts{address}")
        assert listed(page) == orgs, address
        _, text, _ = await pages.get(f"/alerts{address}", {"Accept": "application/json"})
        assert [one["org"] for one in json.loads(text)["items"]] == orgs, address
        _, text, _ = await pages.get(f"/alerts{address}{'&' if address else '?'}format=csv")
        assert [row["org"] for row in csv.DictReader(io.StringIO(text))] == orgs, address


@pytest.mark.parametrize(
    "address",
    [
        "/alerts?state=burning",
        "/alerts?severity=high",
        "/alerts?rule=No!",
        "/alerts?after=1",
        "/alerts?after=9-9-9",
        "/alerts?colour=red",
        "/alerts?q=a&q=b",
        "/alerts?q=%00",
        "/alerts?q=%ff",
        "/alerts?done=../x",
    ],
)
async def test_a_wrong_address_is_a_message_and_not_an_error(pages: Pages, address: str) -> None:
    status, text, _ = await pages.get(address)
    assert status == 400
    assert parse(text).one("h1").text


@pytest.mark.parametrize("number", ["0", "-1", "999", "x", "1e3", "99999999999999999999", "%00", "%E2%82%AC"])
async def test_an_alert_that_does_not_exist_is_not_found(pages: Pages, number: str) -> None:
    for method in (pages.get, pages.post):
        path = f"/alerts/{number}" if method == pages.get else f"/alerts/{number}/ack"
        status, text, _ = await method(path)
        assert (status, parse(text).one("h1").text) == (404, "There is no such alert"), path


async def test_an_acknowledgement_comes_back_to_the_list_and_can_be_undone(database: Database, pages: Pages) -> None:
    ids = await fill(database)
    here = {**HTML, "Referer": f"{pages.url}/alerts?severity=warning"}
    status, _, headers = await pages.post(f"/alerts/{ids['full']}/ack", here)
    assert status == 303
    assert headers["Location"].startswith("/alerts?severity=warning&done=")
    page = await pages.page(headers["Location"])
    assert state_of(page, ids["full"]) == "acknowledged"
    assert page.one("b", id="firing").text == "1 firing"
    notice = page.one("ul", class_="notices")
    assert "no more messages until it is resolved" in notice.text
    undo = notice.one("form", method="post")["action"]
    assert undo == f"/alerts/{ids['full']}/ack"
    _, _, headers = await pages.post(undo, here, {"undo": "1"})
    page = await pages.page(headers["Location"])
    assert state_of(page, ids["full"]) == "firing"
    assert "Undo" not in page.one("ul", class_="notices").text
    assert not list((await pages.page(headers["Location"])).all("ul", class_="notices"))
    page = await pages.page(f"/alerts/{ids['full']}")
    assert [row.text for row in page.one("table", class_="history").all("td")][2::4] == [
        "this machine",
        "this machine",
        "poller",
    ]


async def test_a_snooze_says_until_when_and_can_be_ended(database: Database, pages: Pages) -> None:
    ids = await fill(database)
    _, _, headers = await pages.post(f"/alerts/{ids['full']}/snooze", HTML, {"for": "4h"})
    assert headers["Location"].startswith(f"/alerts/{ids['full']}?done=")
    page = await pages.page(headers["Location"])
    assert "snoozed until" in page.one("section", class_="one").text
    await pages.post(f"/alerts/{ids['full']}/snooze", HTML, {"undo": "1"})
    assert "▲ firing" in (await pages.page(f"/alerts/{ids['full']}")).one("section", class_="one").text
    for wrong in ({"for": "soon"}, {"for": "0"}, {"for": "9y"}, {}):
        status, text, _ = await pages.post(f"/alerts/{ids['full']}/snooze", HTML, wrong)
        assert status == 400, wrong
        assert parse(text).one("h1").text
    _, _, headers = await pages.post(f"/alerts/{ids['calm']}/ack")
    assert "is resolved" in (await pages.page(headers["Location"])).one("ul", class_="notices").text


async def test_a_caller_who_may_only_see_has_disabled_buttons_with_the_reason(database: Database, pages: Pages) -> None:
    ids = await fill(database)
    reads = {**HTML, "Authorization": f"Bearer {KEY}"}
    _, text, _ = await pages.get("/alerts?state=firing", reads)
    page = parse(text)
    buttons = list(page.one("ul", class_="alerts").all("button"))
    assert buttons
    assert all("disabled" in button.attributes for button in buttons)
    assert "may see alerts, and not change them" in page.one("p", id="why-not").text
    status, text, _ = await pages.post(f"/alerts/{ids['full']}/ack", reads)
    assert status == 403
    assert "operate" in text


async def test_a_form_of_another_site_changes_nothing(database: Database, pages: Pages) -> None:
    ids = await fill(database)
    status, _, _ = await pages.post(f"/alerts/{ids['full']}/ack", {**HTML, "Origin": "https://evil.example"})
    assert status == 403
    assert await database.fetchval("SELECT state FROM alert_states WHERE id = $1", ids["full"]) == "firing"


async def test_one_alert_shows_its_messages_without_their_addresses(
    database: Database, pages: Pages, keyring: Keyring
) -> None:
    ids = await fill(database)
    async with database.transaction() as connection:
        (address,) = await default_addresses(connection, [Secret(ADDRESS)], keyring)
    await database.execute(
        "INSERT INTO notify_messages (address_id, alert_id, alert_ids, about, content, attempts, error, delivered_at)"
        " VALUES ($1, $2, ARRAY[$2::bigint], 'firing', '{}', 2, 'the server refused', NULL),"
        " ($1, $3, ARRAY[$3::bigint], 'firing', '{}', 1, NULL, now())",
        address.id,
        ids["full"],
        ids["<parked>"],
    )
    for org, says in (("full", "not yet, 2 attempts failed"), ("<parked>", "")):
        _, text, _ = await pages.get(f"/alerts/{ids[org]}")
        table = parse(text).one("table", class_="messages")
        assert "mailto://…" in table.text
        assert says in table.text
        assert "hunter2" not in text
        assert "mail.example" not in text
    _, text, _ = await pages.get(f"/alerts/{ids['full']}", {"Accept": "application/json"})
    assert json.loads(text)["history"][0]["detail"] == "it holds"


async def test_where_nothing_fires_the_page_names_the_rules_that_watch(pages: Pages) -> None:
    page = await pages.page("/alerts")
    watching = page.one("dl", class_="watching").text
    assert "seats_used" in watching
    assert "seats in use, of those bought ≥ 95 %" in watching
    assert page.one("b", id="firing").attributes.get("hidden", "absent") is None


async def test_the_list_is_sent_again_only_where_it_changed(database: Database, pages: Pages) -> None:
    ids = await fill(database)
    refresh = {**HTML, "X-Refresh": "1"}
    status, text, headers = await pages.get("/alerts", refresh)
    assert (status, headers["X-Firing"]) == (200, "2")
    assert text.lstrip().startswith("<div")
    again = {**refresh, "If-None-Match": headers["ETag"]}
    assert (await pages.get("/alerts", again))[0] == 304
    await pages.post(f"/alerts/{ids['full']}/ack")
    status, text, headers = await pages.get("/alerts", again)
    assert (status, headers["X-Firing"]) == (200, "1")


async def test_a_long_list_has_pages(database: Database, pages: Pages) -> None:
    org = await org_of(database, "many")
    for number in range(103):
        await add_alert(database, "step", org, subject=f"day {number}")
    page = await pages.page("/alerts")
    following = page.one("a", rel="next")["href"]
    seen = [row["data-alert"] for row in rows(page)]
    page = await pages.page(following)
    rest = [row["data-alert"] for row in rows(page)]
    assert (len(seen), len(rest), len({*seen, *rest})) == (100, 3, 103)
    assert page.one("a", rel="prev")["href"] == "/alerts"
