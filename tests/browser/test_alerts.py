"""The Alerts pages in a real browser: filters, buttons and undo, the editor of a rule, and the keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from poller.admin.alerts import acknowledge, unacknowledge
from poller.core.callers import COMMAND_LINE
from tests.browser.axe import faults
from tests.browser.watch import Watch
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.service import Service
    from tests.browser.watch import Contexts

THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
FULL: Final = "/alerts?rule=seats_used"
"""Many orgs of the fleet have few seats left; such an alert is over after an hour without it."""


@pytest_asyncio.fixture(loop_scope="session")
async def alerts(page: Page) -> list[int]:
    """The numbers of the first alerts on the page, which the worker has found."""
    await page.goto(FULL)
    rows = page.locator("li[data-state=firing]")
    await expect(rows.nth(1)).to_be_visible()
    return [int(await rows.nth(place).get_attribute("data-alert") or 0) for place in (0, 1)]


async def shown_as_firing(page: Page) -> int:
    return int(await page.locator("#firing span").first.inner_text())


async def firing(service: Service) -> int:
    return int(await service.app.database.fetchval("SELECT count(*) FROM alert_states WHERE state = 'firing'"))


async def shows_how_many_fire(page: Page, service: Service) -> None:
    """Waits until the page has the number; the worker evaluates its rules meanwhile, so that alerts begin and end."""

    async def same() -> bool:
        return await shown_as_firing(page) == await firing(service)

    assert await eventually(same)


async def test_filters_are_links_and_the_search_keeps_them(page: Page, alerts: list[int]) -> None:
    await page.goto("/alerts")
    await page.locator("a.chip", has_text="firing").click()
    await expect(page).to_have_url("/alerts?state=firing")
    await page.locator("a.chip", has_text="warning").click()
    await expect(page).to_have_url("/alerts?state=firing&severity=warning")
    await page.locator("details.menu", has_text="Rule").first.locator("summary").click()
    await page.get_by_role("link", name="seats_used").first.click()
    await expect(page).to_have_url("/alerts?state=firing&severity=warning&rule=seats_used")
    await expect(page.locator(f"li[data-alert='{alerts[0]}']")).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("no org has this name")
    await page.keyboard.press("Enter")
    await expect(page.locator("li[data-alert]")).to_have_count(0)
    assert "state=firing" in page.url
    await page.get_by_role("link", name="Show all that are open").click()
    await expect(page).to_have_url("/alerts")


async def test_the_keyboard_goes_through_the_alerts_and_opens_one(page: Page, alerts: list[int]) -> None:
    await page.keyboard.press("j")
    await expect(page.locator(f"li[data-alert='{alerts[0]}'] a.subject")).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator(f"li[data-alert='{alerts[1]}'] a.subject")).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"/alerts/{alerts[0]}")
    await expect(page.locator("table.history tbody tr")).not_to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_an_alert_is_acknowledged_and_that_is_undone(
    contexts: Contexts, service: Service, alerts: list[int], scripts: bool
) -> None:
    async with Watch.over(contexts, service.url, java_script_enabled=scripts) as watch:
        page = await watch.page()
        await page.goto(FULL)
        row = page.locator(f"li[data-alert='{alerts[0]}']")
        before = await firing(service)
        await row.get_by_role("button", name="Acknowledge").click()
        await expect(row).to_have_attribute("data-state", "acknowledged")
        if scripts:
            await shows_how_many_fire(page, service)
        else:
            # The worker evaluates its rules meanwhile: alerts begin and end.
            shown, after = await shown_as_firing(page), await firing(service)
            assert min(before - 1, after) <= shown <= max(before - 1, after)
        await page.locator("ul.notices").get_by_role("button", name="Undo").click()
        await expect(row).to_have_attribute("data-state", "firing")


async def test_an_alert_is_snoozed_and_the_snooze_is_ended(page: Page, alerts: list[int]) -> None:
    row = page.locator(f"li[data-alert='{alerts[0]}']")
    await row.locator("summary").click()
    await row.get_by_role("button", name="1 day", exact=True).click()
    await expect(row).to_have_attribute("data-state", "snoozed")
    await expect(row).to_contain_text("snoozed until")
    await row.get_by_role("button", name="End the snooze").click()
    await expect(row).to_have_attribute("data-state", "firing")


async def test_what_another_person_does_appears_while_the_page_is_open(
    page: Page, service: Service, alerts: list[int]
) -> None:
    row = page.locator(f"li[data-alert='{alerts[1]}']")
    await acknowledge(service.app.database, COMMAND_LINE, alerts[1])
    await expect(row).to_have_attribute("data-state", "acknowledged")
    await shows_how_many_fire(page, service)
    await unacknowledge(service.app.database, COMMAND_LINE, alerts[1])
    await expect(row).to_have_attribute("data-state", "firing")


async def test_the_preview_follows_the_form_and_a_rule_is_saved(page: Page) -> None:
    await page.goto("/alerts/rules")
    await page.locator("table.rules").get_by_role("link", name="seats_used", exact=True).click()
    preview, threshold = page.locator("#preview"), page.get_by_label("Threshold")
    await expect(preview).to_contain_text("≥ 95 %")
    await threshold.fill("12.5")
    await expect(preview).to_contain_text("≥ 12.5 %")
    await page.get_by_label("Watch").select_option("parked")
    await expect(threshold).to_be_hidden()
    await expect(preview).to_contain_text("Not known: when orgs were parked is not kept")
    await page.get_by_label("Watch").select_option("seats_used_percent")
    await page.get_by_label("Quiet hours").fill("always")
    await expect(preview).to_contain_text("no quiet hours")
    await page.get_by_label("Quiet hours").fill("22:00-07:00")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile(r"/alerts/rules\?done="))
    row = page.locator("tr[data-rule='seats_used']")
    await expect(row).to_contain_text("≥ 12.5 %")
    await expect(row).to_contain_text("22:00–07:00 UTC")
    await row.get_by_role("link", name="seats_used").click()
    await threshold.fill("95")
    await page.get_by_label("Quiet hours").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("≥ 95 %")


async def test_a_wrong_form_says_what_is_wrong_and_keeps_what_was_written(watch: Watch) -> None:
    watch.expected.append("status of 400")
    page = await watch.page()
    await page.goto("/alerts/rules/new")
    await page.locator("input[name=name]").fill("mine")
    await page.get_by_label("Threshold").fill("10")
    await page.locator("textarea[name=orgs]").fill("Nobody Ltd")
    await page.get_by_role("button", name="Add the rule").click()
    await expect(page.get_by_role("alert")).to_contain_text("Nobody Ltd")
    await expect(page.locator("textarea[name=orgs]")).to_have_value("Nobody Ltd")
    assert await faults(page) == []


@pytest.mark.parametrize("path", [FULL, "/alerts/ID", "/alerts/rules", "/alerts/rules/seats_used"])
async def test_the_pages_are_accessible_in_both_themes_and_fit_a_phone(
    page: Page, alerts: list[int], path: str
) -> None:
    await page.goto(path.replace("ID", str(alerts[0])))
    await expect(page.locator("h1").first).to_be_visible()
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert await faults(page) == [], theme
        if path == FULL:
            await page.locator("details.snooze summary").first.click()
            assert await faults(page, within="details.menu[open]") == [], theme
            await page.keyboard.press("Escape")
    await page.set_viewport_size({"width": 390, "height": 844})
    width = await page.evaluate("document.documentElement.scrollWidth")
    await page.set_viewport_size({"width": 1440, "height": 900})
    assert width <= 390
