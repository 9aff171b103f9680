"""The Org page in a real browser: zoom, keys, legend, theme, paper, no script, and its buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.watch import PATIENCE_MS, Watch

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.service import Service
    from tests.browser.watch import Contexts

ORG = 10


def path(service: Service, query: str = "") -> str:
    return f"/orgs/{service.ids[service.names[ORG]]}{query}"


async def opened(page: Page, service: Service, query: str = "") -> None:
    """Opens the page and waits for its chart."""
    await page.goto(path(service, query))
    await expect(page.locator("#chart canvas")).to_be_visible()


async def drag(page: Page, begin: float, end: float) -> None:
    """Drags over the chart, from one share of its width to another."""
    await page.locator(".u-over").scroll_into_view_if_needed()
    box = await page.locator(".u-over").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + begin * box["width"], box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + end * box["width"], box["y"] + 50, steps=4)
    await page.mouse.up()


async def test_dragging_zooms_into_the_range_and_escape_returns(page: Page, service: Service) -> None:
    await opened(page, service)
    rows = page.locator("#figures tbody tr")
    await expect(rows).to_have_count(91)
    await drag(page, 0.55, 0.65)
    await expect(page).to_have_url(re.compile(r"since=20.*until=20"))
    await expect(rows).not_to_have_count(91)
    await page.locator("#chart").focus()
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(re.compile(r"/orgs/\d+$"))
    await expect(rows).to_have_count(91)


async def test_arrow_keys_read_the_same_figures_as_the_table(page: Page, service: Service) -> None:
    await opened(page, service, "?since=30d&forecast=0&seats=0&every=1d")
    await page.locator("#chart").focus()
    await page.keyboard.press("End")
    await page.locator("#figures summary").click()
    rows = page.locator("#figures tbody tr")
    for place in range(3):
        day, count = (await rows.nth(place).locator("td").all_inner_texts())[:2]
        readout = page.locator(".readout")
        await expect(readout).to_contain_text(str(int(day[-2:])))
        await expect(readout).to_contain_text(f"ActiveUsers {'unknown' if count == '–' else count}")
        await page.locator("#chart").focus()
        await page.keyboard.press("ArrowLeft")


async def test_the_legend_shows_a_type_in_place_and_back_hides_it_again(page: Page, service: Service) -> None:
    await opened(page, service)
    await page.evaluate("window.stayed = true")
    admins = page.locator('[data-key="AdminUsers"]')
    await admins.click()
    await expect(admins).to_have_attribute("aria-pressed", "true")
    await expect(admins).to_be_focused()
    await expect(page).to_have_url(re.compile("type=AdminUsers"))
    await page.go_back()
    await expect(admins).to_have_attribute("aria-pressed", "false")
    assert await page.evaluate("window.stayed")


async def test_the_chart_is_drawn_again_in_the_colours_of_the_other_theme(page: Page, service: Service) -> None:
    await opened(page, service)
    drawn = "document.querySelector('#chart canvas').toDataURL()"
    light = await page.evaluate(drawn)
    await page.locator("#theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate(drawn) != light


async def test_paper_shows_the_drawing_of_the_server(page: Page, service: Service) -> None:
    await opened(page, service)
    await expect(page.locator(".chart-svg")).to_be_hidden()
    await page.emulate_media(media="print")
    await expect(page.locator(".chart-svg")).to_be_visible()
    await expect(page.locator("#chart canvas")).to_be_hidden()


async def test_without_a_script_the_page_has_its_chart_its_table_and_its_ranges(
    contexts: Contexts, service: Service
) -> None:
    async with Watch.over(contexts, service.url, java_script_enabled=False) as watch:
        page = await watch.page()
        await page.goto(path(service))
        await expect(page.locator(".chart-svg")).to_be_visible()
        await page.locator("#figures summary").click()
        await expect(page.locator("#figures tbody tr").first).to_be_visible()
        await page.get_by_role("link", name="7 d", exact=True).click()
        await expect(page).to_have_url(re.compile("since=7d"))
        await page.locator(".own > summary").click()
        await page.locator("input[name=from]").fill("2026-01-01")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".own > summary")).to_contain_text("2026-01-01")


async def test_two_fingers_zoom_and_a_tap_shows_a_value(contexts: Contexts, service: Service) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with Watch.over(contexts, service.url, **phone) as watch:
        page = await watch.page()
        await opened(page, service)
        await page.locator(".u-over").scroll_into_view_if_needed()
        box = await page.locator(".u-over").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + 60
        await page.touchscreen.tap(x, y)
        await expect(page.locator(".readout")).to_contain_text("ActiveUsers")
        session = await watch.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 100), ("touchEnd", 0)):
            points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await expect(page).to_have_url(re.compile(r"since=20.*until=20"))


async def test_pausing_asks_first_and_says_what_happened(page: Page, service: Service) -> None:
    await opened(page, service, "?since=7d")
    for word, state in (("Pause", "paused"), ("Resume", "")):
        await page.locator(".action summary", has_text=word).click()
        await page.locator(".action[open] form button").click()
        await expect(page.locator(".notices")).to_be_visible()
        await expect(page.locator(".org-state")).to_contain_text(state)
    await expect(page).to_have_url(re.compile(r"since=7d$"))


async def test_new_polls_appear_while_the_page_is_open(page: Page, service: Service) -> None:
    await page.goto(f"/orgs/{service.ids[service.names[0]]}?since=24h")
    newest = page.locator("#polls tbody time").first
    before = await newest.get_attribute("datetime")
    assert before is not None
    await expect(newest).not_to_have_attribute("datetime", before, timeout=PATIENCE_MS)
    await expect(page.locator("#as-of")).to_have_class(re.compile("live"))
