"""Each page in a real browser: no errors, accessible in both themes, usable by keyboard, on a phone, without script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pytest
from playwright.async_api import expect

from tests.browser.axe import COLOURS, faults
from tests.browser.watch import Watch

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.service import Service
    from tests.browser.watch import Contexts

PAGES: Final = (
    "/?rows=50&tag=gold",
    "/orgs/ID",
    "/orgs/PARKED",
    "/health",
    "/gaps?limit=50&tag=gold",
    "/gaps?by=reason&since=30d",
    "/seats?limit=50&tag=gold",
    "/docs",
)
"""Every page that the navigation links to, and that of an org without and with trouble; lists are short: a hundred
rows say no more than twenty."""
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
PARKED_ID: Final = 33
"""See `tests.browser.fleet`."""
ORG: Final = 10
"""The number of the org whose page is opened."""


def address(service: Service, path: str) -> str:
    """The address of a page of `PAGES`."""
    return path.replace("ID", str(service.ids[service.names[ORG]])).replace("PARKED", str(PARKED_ID))


async def test_the_navigation_links_to_the_pages_that_are_tested_here(page: Page) -> None:
    await page.goto("/")
    links = await page.locator("header nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    tested = {path.partition("?")[0] for path in PAGES} | {"/alerts"}
    assert set(links) == tested - {"/orgs/ID", "/orgs/PARKED", "/gaps"}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_no_grave_fault_of_accessibility_in_either_theme(
    page: Page, service: Service, path: str
) -> None:
    await page.goto(address(service, path))
    for theme in THEMES:
        rules = COLOURS if theme == "dark" else None
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert await faults(page, rules=rules) == [], theme
        menus = page.locator("details.menu > summary")
        for place in range(await menus.count()):
            if not await menus.nth(place).is_visible():
                continue
            await menus.nth(place).click()
            opened = f"{theme}, with the menu {await menus.nth(place).inner_text()} open"
            assert await faults(page, within="details.menu[open]", rules=rules) == [], opened
            await page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", THEMES)
async def test_the_page_of_an_unknown_org_is_accessible_and_says_what_to_do(
    watch: Watch, theme: Literal["light", "dark"]
) -> None:
    watch.expected.append("status of 404")
    page = await watch.page()
    await page.emulate_media(color_scheme=theme)
    reply = await page.goto("/orgs/2000000000")
    assert reply is not None
    assert reply.status == 404
    await expect(page.locator("main h1")).to_be_visible()
    assert await faults(page) == []


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone_without_sideways_scrolling(contexts: Contexts, service: Service, path: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with Watch.over(contexts, service.url, **phone) as watch:
        page = await watch.page()
        await page.goto(address(service, path))
        await expect(page.locator("h1").first).to_be_attached()
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path} is {width} pixels wide"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_says_the_same_without_scripts(contexts: Contexts, service: Service, path: str) -> None:
    async with Watch.over(contexts, service.url, java_script_enabled=False) as watch:
        page = await watch.page()
        await page.goto(address(service, path))
        assert await page.locator("main h1").count() == 1
        assert await page.locator("main table tbody tr, main dl dd").count() > 0


async def test_the_skip_link_is_the_first_stop_of_the_keyboard(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.locator("a.skip")).to_be_focused()
    await expect(page.locator("a.skip")).to_be_in_viewport()


async def test_the_chosen_theme_is_kept(page: Page) -> None:
    await page.goto("/")
    await page.locator("#theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.goto("/")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_the_head_of_a_page_takes_two_rows_on_a_phone(contexts: Contexts, service: Service) -> None:
    async with Watch.over(contexts, service.url, viewport={"width": 390, "height": 844}) as watch:
        page = await watch.page()
        for path in ("/", "/health"):
            await page.goto(path)
            box = await page.locator("header.top").bounding_box()
            assert box is not None
            assert box["height"] < 100
            await expect(page.get_by_role("link", name="Health", exact=True)).to_be_in_viewport()
