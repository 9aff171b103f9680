"""Looks for faults of accessibility with axe-core, whose source our own policy keeps out of a script element."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Page

_SOURCE: Final = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_RUN: Final = """
async ([within, rules]) => (
    await axe.run(within === null ? document : { include: [within] }, {
        resultTypes: ["violations"], ...(rules === null ? {} : { runOnly: rules })
    })
).violations.flatMap((found) => found.nodes.map((node) => ({
        rule: found.id, impact: found.impact, element: node.html.slice(0, 200), why: node.failureSummary
    })))
"""
_GRAVE: Final = {"serious", "critical"}


COLOURS: Final = ("color-contrast", "link-in-text-block")
"""The rules that look at colours, which are all that differs between themes."""


async def faults(page: Page, *, within: str | None = None, rules: Sequence[str] | None = None) -> list[str]:
    """The serious and critical faults of what the page shows, or of the elements that a CSS selector finds.

    `rules`: the rules of axe-core to look at; all by default.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_SOURCE)
    found = await page.evaluate(_RUN, [within, rules])
    return [f"{one['rule']}: {one['element']}: {one['why']}" for one in found if one["impact"] in _GRAVE]
