"""A monthly report in a browser: no request, no complaint, one printed page for each customer, accessible."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from poller.reports.monthly import write_report
from tests.browser.axe import faults
from tests.browser.watch import Watch
from tests.reports.monthly.months import NOW, PERIOD, anomaly, changed, forecast_from, org, org_month

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

    from poller.query.monthly_org import OrgMonth
    from tests.browser.watch import Contexts

TODAY: Final = NOW.date()
OCTOBER: Final = [date(2026, 10, 1) + timedelta(days=place) for place in range(31)]
CODES: Final = (
    "unavailable: http_503",
    "throttled: TOO_MANY_REQUESTS",
    "unauthorized: invalid_code",
    "missed: too_late",
)
A4_POINTS: Final = (595, 842)


def crowded() -> OrgMonth:
    """A customer with as much to say as a page must hold: a long name, gaps for many reasons, many anomalies."""
    about = org(
        "The Worshipful Company of Gold and Silver Wyre Drawers and Associates International (Deutschland) GmbH"
    )
    about = about._replace(
        org_id=2, tags=[f"customer:{n}" for n in range(12)], contract_seats=250_000, price=Decimal("1234.56")
    )
    first = date(2025, 10, 1)
    counts: dict[date, int | None] = {
        first + timedelta(days=n): 200_000 + 99 * n for n in range((PERIOD.history_last - first).days + 1)
    }
    reasons = {}
    for place, day in enumerate(OCTOBER[3:25:2]):
        counts[day] = None
        reasons[day] = {CODES[place % 4]: 20 - place, "forbidden: OAUTH_SCOPE_MISMATCH": 4 + place}
    why = "moved by +123456 in a day; usual moves are 997.3, at most 5982 was expected before this day"
    found = [anomaly(day, f"{why} ({n})", "critical") for n, day in enumerate(OCTOBER[::2])]
    return org_month(about, counts, reasons=reasons, anomalies=found, forecast=forecast_from(TODAY, 239_000, 250_000))


def customers() -> list[OrgMonth]:
    unknown: dict[date, int | None] = dict.fromkeys(OCTOBER, 100) | dict.fromkeys(OCTOBER[4:9])
    removed = org("Removed", org_id=5, removed_at=datetime(2026, 10, 12, 8, tzinfo=UTC))
    return [
        org_month(org(price=Decimal(20)), forecast=forecast_from(TODAY, 110)),
        crowded(),
        org_month(org("Never asked", org_id=3, first_slot=None), {}),
        changed(org_month(org("Gaps & <b>", org_id=4), unknown), forecast=None),
        org_month(removed, dict.fromkeys(OCTOBER[:12], 30)),
        org_month(org("No seats known", org_id=6, contract_seats=None), forecast=forecast_from(TODAY, 110, None)),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `report.html` about all of these customers."""

    async def months() -> AsyncIterator[OrgMonth]:
        for one in customers():
            yield one

    written_to = tmp_path_factory.mktemp("report")
    await write_report(written_to / "report.html", months(), PERIOD)
    return written_to


@pytest_asyncio.fixture(loop_scope="session")
async def report(contexts: Contexts, folder: Path) -> AsyncIterator[Watch]:
    """A browser context that complains about every request but the one for the file."""
    async with Watch.over(contexts, f"file://{folder}") as watch:
        yield watch


async def opened(watch: Watch) -> Page:
    page = await watch.page()
    await page.goto(f"{watch.url}/report.html")
    return page


async def test_each_customer_has_one_printed_page_and_no_content_is_cut(report: Watch) -> None:
    page = await opened(report)
    printed = await page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1 + len(customers())
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed)}
    assert {(round(box[2]), round(box[3])) for box in boxes} == {A4_POINTS}
    await page.emulate_media(media="print")
    await page.set_viewport_size({"width": 695, "height": 1_000})
    overflow = "all => all.map(one => [one.scrollHeight - one.clientHeight, one.scrollWidth - one.clientWidth])"
    cut = await page.locator(".customer").evaluate_all(overflow)
    assert cut == [[0, 0]] * len(customers())


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_report_is_accessible_in_both_themes(report: Watch, scheme: str) -> None:
    page = await opened(report)
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    assert await faults(page) == []


async def test_a_phone_shows_the_report_without_sideways_scrolling(report: Watch) -> None:
    page = await opened(report)
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_the_summary_links_to_the_page_of_each_customer_and_lists_what_needs_attention(report: Watch) -> None:
    page = await opened(report)
    links = page.locator("table.customers a")
    assert await links.count() == len(customers())
    for place in range(len(customers())):
        anchor = await links.nth(place).get_attribute("href")
        assert await page.locator(f"section.customer{anchor} h2").inner_text() == await links.nth(place).inner_text()
    attention = await page.locator(".attention li").all_inner_texts()
    assert any(text.startswith("Never asked") and "no count" in text for text in attention)
    assert all("Removed" not in text for text in attention)


async def test_nothing_in_the_file_can_run_or_call_another_host(report: Watch) -> None:
    page = await opened(report)
    assert await page.locator("script, link, img, iframe, [onload], [style]").count() == 0
    styled = await page.locator("header").first.evaluate("one => getComputedStyle(one).display")
    assert styled == "grid"  # the policy lets the style sheet in
