"""The Fleet page in a real browser: by keyboard, and without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.watch import Watch

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.service import Service
    from tests.browser.watch import Contexts

ORG = 10
"""The number of the org that is searched for."""


async def test_the_fleet_can_be_searched_and_opened_without_scripts(contexts: Contexts, service: Service) -> None:
    async with Watch.over(contexts, service.url, java_script_enabled=False) as watch:
        page = await watch.page()
        await page.goto("/")
        name = service.names[ORG]
        await page.locator("form[role=search] input").first.fill(name)
        await page.keyboard.press("Enter")
        await expect(page.locator("tr[data-org]")).to_have_count(1)
        await page.locator("tr[data-org] th a").click()
        await expect(page.locator("main h1")).to_contain_text(name)


async def test_search_rows_pages_and_help_have_keys(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("/")
    await expect(page.locator("form[role=search] input").first).to_be_focused()
    await page.keyboard.press("Escape")
    rows = page.locator("tr[data-org]")
    first, second = [await rows.nth(place).get_attribute("data-org") for place in (0, 1)]
    await page.keyboard.press("j")
    await expect(page.locator("tr[data-org] :focus")).to_have_text(re.compile(re.escape(first or "")))
    await page.keyboard.press("j")
    await expect(page.locator("tr[data-org] :focus")).to_have_text(re.compile(re.escape(second or "")))
    await page.keyboard.press("?")
    await expect(page.locator("dialog#keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page.locator("main h1")).to_contain_text(first or "")
