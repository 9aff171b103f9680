"""Pages of a browser context, and everything they complain about: errors, refused content, requests to other hosts."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

PATIENCE_MS = 30_000.0
"""Far more than a page needs on an idle machine; an open page asks for its rows every five seconds."""


@dataclass
class Watch:
    """A browser context. Its `complaints` must be empty at the end, but for those that match `expected`."""

    browser: Browser
    url: str
    context: BrowserContext
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def over(cls, browser: Browser, url: str, **options: Any) -> AsyncIterator[Watch]:
        """Opens a context, and fails at its end where a page complained."""
        given = {"viewport": {"width": 1440, "height": 900}, "timezone_id": "Europe/Berlin", **options}
        context = await browser.new_context(base_url=url, **given)
        context.set_default_timeout(PATIENCE_MS)
        watch = cls(browser, url, context)
        context.on("page", watch._listen)
        try:
            yield watch
        finally:
            await context.close()
        assert watch.unexpected() == []

    async def page(self) -> Page:
        """A new page of the context."""
        return await self.context.new_page()

    def unexpected(self) -> list[str]:
        """The complaints that no pattern of `expected` matches."""
        return [one for one in self.complaints if not any(re.search(pattern, one) for pattern in self.expected)]

    def _listen(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error in the page: {error}"))
        page.on("request", self._requested)

    def _heard(self, message: ConsoleMessage) -> None:
        # A refusal by the content security policy is an error of the console too.
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "about:", "blob:")):
            self.complaints.append(f"request to another host: {request.url}")
