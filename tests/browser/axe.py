"""Looks for faults of accessibility with axe-core, whose source our own policy keeps out of a script element."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.async_api import Page

_SOURCE: Final = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_RUN: Final = """
async (within) => (
    await axe.run(within === null ? document : { include: [within] }, { resultTypes: ["violations"] })
).violations.flatMap((found) => found.nodes.map((node) => ({
        rule: found.id, impact: found.impact, element: node.html.slice(0, 200), why: node.failureSummary
    })))
"""
_GRAVE: Final = {"serious", "critical"}


async def faults(page: Page, *, within: str | None = None) -> list[str]:
    """The serious and critical faults of what the page shows, or of the elements that a CSS selector finds."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_SOURCE)
    found = await page.evaluate(_RUN, within)
    return [f"{one['rule']}: {one['element']}: {one['why']}" for one in found if one["impact"] in _GRAVE]
