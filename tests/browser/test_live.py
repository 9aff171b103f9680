"""Pages that stay open: rows change by themselves, and a page that cannot be kept fresh says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect

from poller.admin.access import add_key, revoke_key
from poller.core.callers import Right
from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.simulator import Fault
from poller.store.series.snapshots import write_snapshots
from tests.browser.axe import faults
from tests.browser.service import open_service
from tests.browser.watch import Watch
from tests.postgres import cloned
from tests.worker.cable import Cable
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Locator, Page

    from tests.browser.service import Service
    from tests.browser.watch import Contexts


def row(page: Page, name: str) -> Locator:
    """The row of an org."""
    return page.locator(f'tr[data-org="{name}"]')


async def test_the_row_of_an_org_that_fails_and_recovers_changes_while_the_page_is_open(
    page: Page, service: Service
) -> None:
    name = service.names[0]
    await page.goto(f"/?q={quote(name)}")
    await expect(row(page, name)).to_have_attribute("data-state", "ok")
    service.sim.add_faults(Fault(name="unavailable", org=0))
    try:
        await expect(row(page, name)).to_have_attribute("data-state", "failing")
        await expect(row(page, name)).to_contain_text("failing")
    finally:
        service.sim.clear_faults()
    await expect(row(page, name)).to_have_attribute("data-state", "ok")


async def test_counts_that_another_worker_writes_show_on_an_open_page(page: Page, service: Service) -> None:
    # This org is polled once an hour: nobody but this test writes now.
    name = service.names[20]
    await page.goto(f"/?q={quote(name)}")
    await expect(row(page, name)).to_be_visible()
    polled = "SELECT max(slot) FROM org_snapshots WHERE org_id = $1"
    slot = await eventually(lambda: service.app.database.fetchval(polled, service.ids[name])) + timedelta(seconds=1)
    now = service.app.database.clock.now()
    counts = dict.fromkeys(COLUMNS, 86_421)
    await write_snapshots(service.app.database, [Snapshot(service.ids[name], slot, now, Outcome.OK, counts=counts)])
    await expect(row(page, name)).to_contain_text("86,421")


async def test_seven_tabs_of_one_browser_all_stay_fresh(watch: Watch, service: Service) -> None:
    name = service.names[1]
    pages = [await watch.page() for _ in range(7)]
    for page in pages:
        await page.goto(f"/?q={quote(name)}")
        await expect(row(page, name)).to_have_attribute("data-state", "ok")
    service.sim.add_faults(Fault(name="unavailable", org=1))
    try:
        for page in pages:
            await expect(row(page, name)).to_have_attribute("data-state", "failing")
    finally:
        service.sim.clear_faults()


@pytest.fixture(scope="module")
def cut_off_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A database of its own, since this file cuts the way to it."""
    with cloned(server_dsn, template) as dsn:
        yield dsn


@dataclass
class CutOff:
    """A service whose web server reaches PostgreSQL by a cable."""

    service: Service
    cable: Cable


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cut_off(cut_off_dsn: str) -> AsyncIterator[CutOff]:
    async with Cable(cut_off_dsn) as cable, open_service(cut_off_dsn, web_dsn=cable.dsn, orgs=8) as service:
        yield CutOff(service, cable)


async def test_a_page_says_since_when_the_database_does_not_answer_and_recovers(
    contexts: Contexts, cut_off: CutOff
) -> None:
    async with Watch.over(contexts, cut_off.service.url) as watch:
        watch.expected += ["status of 503"]
        page = await watch.page()
        await page.goto("/")
        await expect(page.locator("tr[data-org]").first).to_be_visible()
        await cut_off.cable.cut()
        await expect(page.locator("#as-of")).to_contain_text("not updated since")
        newly_opened = await watch.page()
        reply = await newly_opened.goto("/")
        assert reply is not None
        assert reply.status == 503
        await expect(newly_opened.locator("main")).to_contain_text("database")
        await cut_off.cable.repair()
        await expect(page.locator("#as-of")).not_to_contain_text("not updated since")
        await newly_opened.reload()
        await expect(newly_opened.locator("tr[data-org]").first).to_be_visible()


async def test_a_revoked_key_ends_the_session_of_an_open_page(contexts: Contexts, cut_off: CutOff) -> None:
    app = cut_off.service.app
    _, key = await add_key(app.database, app.keyring, "noc", right=Right.READ)
    async with Watch.over(contexts, cut_off.service.url) as watch:
        watch.expected += ["status of 40[13]", "status of 429"]
        page = await watch.page()
        await page.goto("/")
        assert await faults(page) == []
        await page.locator("input[name=key]").fill(key.reveal() + "0")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await faults(page) == [], "with an error shown"
        await page.locator("input[name=key]").fill(key.reveal())
        await page.keyboard.press("Enter")
        await expect(page.locator("tr[data-org]").first).to_be_visible()
        await expect(page.locator("header")).to_contain_text("noc")
        await revoke_key(app.database, "noc")
        await expect(page).to_have_url(re.compile(r"/login\?next="))
        await page.goto("/seats")
        await expect(page).to_have_url(re.compile(r"/login\?next="))
