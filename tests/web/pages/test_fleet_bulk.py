"""The menu of the Fleet page that pauses or resumes all orgs of a list: which, how many, what it says afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from poller.core.model import Outcome
from poller.store.orgs.parking import park
from poller.web import Access
from tests.query.test_health import added
from tests.web.pages.served import HTML, pages_of

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


def forms(page: Element) -> dict[str, dict[str, str]]:
    """The fields of each form of the menu by its address; none: the page has no such menu."""
    found = [form for menu in page.all("details", id="bulk") for form in menu.all("form", method="post")]
    return {form["action"]: {one["name"]: one["value"] for one in form.all("input")} for form in found}


async def paused(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch("SELECT name FROM orgs WHERE paused_at IS NOT NULL ORDER BY 1")]


async def done(pages: Pages, path: str, action: str) -> str:
    """What the page says after the menu of the list at `path` was used."""
    status, _, headers = await pages.post(action, HTML, forms(await pages.page(path))[action])
    assert status == 303
    assert headers["Location"].partition("done=")[0].rstrip("&?") == path.rstrip("?")
    return (await pages.page(headers["Location"])).one("ul", class_="notices").text


async def test_all_orgs_of_a_filtered_list_are_paused_and_resumed_on_every_page_of_it(
    database: Database, pages: Pages
) -> None:
    await added(database, *(f"North {number:02}" for number in range(60)))
    await added(database, "South", tag="south")
    path = "/?tag=north&rows=50"
    page = await pages.page(path)
    assert "Pause 60 orgs" in page.one("details", id="bulk").text
    assert await done(pages, path, "/fleet/pause") == "● 60 orgs paused."
    assert await paused(database) == [f"North {number:02}" for number in range(60)]
    assert await done(pages, path, "/fleet/pause") == "● 0 orgs paused. 60 orgs were paused already."
    assert await done(pages, "/?q=north+0&state=paused", "/fleet/resume") == "● 10 orgs resumed."
    assert len(await paused(database)) == 50
    rows = await database.fetch("SELECT action, count(*) AS orgs, max(caller) AS caller FROM audit"
                                " WHERE action IN ('pause', 'resume') GROUP BY 1 ORDER BY 1")  # fmt: skip
    assert [tuple(row) for row in rows] == [("pause", 60, "this machine"), ("resume", 10, "this machine")]


async def test_orgs_without_credentials_stay_paused_and_parked_orgs_are_polled_again(
    database: Database, pages: Pages
) -> None:
    first, second = await added(database, "parked", "restored")
    await park(database, first, "invalid_grant", "import it again", database.clock.now(), outcome=Outcome.UNAUTHORIZED)
    await database.execute("UPDATE orgs SET paused_at = now(), paused_reason = 'no_credentials' WHERE id = $1", second)
    said = await done(pages, "/", "/fleet/resume")
    assert said == "● 1 org resumed. 1 org without credentials: poller orgs import gives them."
    assert await paused(database) == ["restored"]
    assert await database.fetchval("SELECT count(*) FROM orgs WHERE parked_at IS NOT NULL") == 0


async def test_nothing_is_changed_if_more_orgs_match_than_were_confirmed(database: Database, pages: Pages) -> None:
    await added(database, "Acme", "Birch")
    form = forms(await pages.page("/"))["/fleet/pause"]
    assert form == {"list": "", "orgs": "2"}
    await added(database, "Cedar")
    _, _, headers = await pages.post("/fleet/pause", HTML, form)
    said = (await pages.page(headers["Location"])).one("ul", class_="notices").text
    assert "3 orgs match now, and the page showed 2: nothing was changed" in said
    assert await paused(database) == []


async def test_a_key_that_may_only_see_has_no_menu_and_is_refused(database: Database, pages: Pages) -> None:
    await added(database, "Acme")
    form = forms(await pages.page("/"))["/fleet/pause"]
    reads = {**HTML, "Authorization": f"Bearer {KEY}"}
    _, text, _ = await pages.get("/", reads)
    assert "/fleet/pause" not in text
    assert (await pages.post("/fleet/pause", reads, form))[0] == 403
    assert await paused(database) == []


@pytest.mark.parametrize(
    "form", [{}, {"orgs": "-1"}, {"orgs": "1e9"}, {"orgs": "5", "list": "sort=color"}, {"orgs": "5", "list": "x=1"}]
)
async def test_a_form_that_no_page_sends_changes_nothing(
    database: Database, pages: Pages, form: dict[str, str]
) -> None:
    await added(database, "Acme")
    assert (await pages.post("/fleet/pause", HTML, form))[0] == 400
    assert await paused(database) == []
