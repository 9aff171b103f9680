"""The buttons of an Org page: who sees them, what they do, and what the page says afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from poller.core.model import Outcome
from poller.store.orgs.parking import park
from poller.web import Access
from tests.web.pages.served import HTML, pages_of, parse
from tests.web.pages.test_org import add_org

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from tests.web.pages.served import Element, Pages

KEY = "0123456789abcdef" * 2


@pytest.fixture
async def pages(database_url: str, keyring: Keyring) -> AsyncIterator[Pages]:
    async with pages_of(database_url, keyring=keyring, access=Access(SecretStr(KEY))) as opened:
        yield opened


def buttons(page: Element) -> list[str]:
    return [form["action"].rpartition("/")[2] for form in page.one("div", id="now").all("form", method="post")]


async def test_pausing_comes_back_to_the_same_range_with_a_message_that_is_shown_once(
    database: Database, pages: Pages
) -> None:
    org = await add_org(database)
    address = f"/orgs/{org}?since=7d&type=AllUsers"
    assert buttons(await pages.page(address)) == ["poll", "pause"]
    status, _, headers = await pages.post(f"/orgs/{org}/pause", {**HTML, "Referer": pages.url + address})
    assert status == 303
    assert headers["Location"].startswith(f"{address}&done=")
    page = await pages.page(headers["Location"])
    assert "not polled until it is resumed" in page.one("ul", class_="notices").text
    assert "‖ paused" in page.one("p", class_="org-state").text
    assert "paused by this machine" in page.one("p", class_="org-state").text
    assert "paused by this machine" in page.one("ul", class_="events").text
    assert buttons(page) == ["resume"]
    assert not list((await pages.page(headers["Location"])).all("ul", class_="notices"))
    _, _, headers = await pages.post(f"/orgs/{org}/resume")
    assert buttons(await pages.page(headers["Location"])) == ["poll", "pause"]
    assert await database.fetchval("SELECT paused_at FROM orgs") is None


async def test_a_poll_is_asked_for_once_and_a_parked_org_is_checked(database: Database, pages: Pages) -> None:
    org = await add_org(database)
    await park(database, org, "invalid_grant", "import it again", database.clock.now(), outcome=Outcome.UNAUTHORIZED)
    page = await pages.page(f"/orgs/{org}")
    assert "Check now" in page.one("div", class_="actions").text
    await pages.post(f"/orgs/{org}/poll")
    status, _, headers = await pages.post(f"/orgs/{org}/poll")
    assert status == 303
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 1
    assert "No worker runs" in (await pages.page(headers["Location"])).one("ul", class_="notices").text


async def test_what_cannot_be_done_is_said_with_its_remedy(database: Database, pages: Pages) -> None:
    org = await add_org(database)
    await database.execute("UPDATE orgs SET removed_at = now()")
    assert buttons(await pages.page(f"/orgs/{org}")) == []
    _, _, headers = await pages.post(f"/orgs/{org}/poll")
    (notice,) = (await pages.page(headers["Location"])).all("li", class_="notice")
    assert "removed" in notice.text
    assert "Remedy: restore it: poller orgs restore" in notice.text
    for wrong in (org + 1, 2**40, "abc"):
        status, text, _ = await pages.post(f"/orgs/{wrong}/pause")
        assert (status, parse(text).one("h1").text) == (404, "There is no such org")


async def test_a_caller_who_may_only_see_has_no_buttons_and_is_refused(database: Database, pages: Pages) -> None:
    org = await add_org(database)
    reads = {**HTML, "Authorization": f"Bearer {KEY}"}
    _, text, _ = await pages.get(f"/orgs/{org}", reads)
    assert buttons(parse(text)) == []
    for action in ("poll", "pause", "resume"):
        status, text, _ = await pages.post(f"/orgs/{org}/{action}", reads)
        assert status == 403
        assert "operate" in text
    assert await database.fetchval("SELECT paused_at FROM orgs") is None


async def test_a_referer_of_another_page_is_not_followed(database: Database, pages: Pages) -> None:
    org = await add_org(database)
    for referer in (
        "https://evil.example/orgs/1?since=7d",
        f"{pages.url}/orgs/{org}?colour=red",
        "http://[",
        "/health",
    ):
        status, text, headers = await pages.post(f"/orgs/{org}/pause", {**HTML, "Referer": referer})
        assert status == 303, text
        assert headers["Location"].split("done=")[0] in {f"/orgs/{org}?", f"/orgs/{org}?since=7d&"}
