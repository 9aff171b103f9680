"""Pages of a browser context, and everything they complain about: errors, refused content, requests to other hosts."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError

PATIENCE_MS = 60_000.0
"""Far more than a page needs on an idle machine; an open page asks for its rows every five seconds."""


@dataclass
class Contexts:
    """The browser's contexts, one for each address and set of options, each with a page.

    A new context takes a quarter of a second of the processor, and so does a new page with its process. Cookies and
    storage do not outlive a test; the browser's cache of static files does.
    """

    browser: Browser
    _opened: dict[str, BrowserContext] = field(default_factory=dict)

    @asynccontextmanager
    async def empty(self, url: str, **options: Any) -> AsyncIterator[BrowserContext]:
        """A context whose only page is empty, without cookies and storage."""
        given = {"viewport": {"width": 1440, "height": 900}, "timezone_id": "Europe/Berlin", **options}
        name = repr((url, sorted(given.items())))
        if name not in self._opened:
            context = await self.browser.new_context(base_url=url, **given)
            context.set_default_timeout(PATIENCE_MS)
            await context.new_page()
            self._opened[name] = context
        context = self._opened[name]
        try:
            yield context
        finally:
            await _clear(context, url)


async def _clear(context: BrowserContext, url: str) -> None:
    """Empties the first page and closes the others; deletes the cookies and the storage of the address."""
    kept, *others = context.pages or [await context.new_page()]
    for page in others:
        await page.close()
    await kept.goto("about:blank")
    await kept.emulate_media(media="null", color_scheme="null", reduced_motion="null")
    await context.clear_cookies()
    session = await context.new_cdp_session(kept)
    await session.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "local_storage"})
    await session.detach()


@dataclass
class Watch:
    """Pages of one test. Their `complaints` must be empty at the end, but for those that match `expected`."""

    url: str
    context: BrowserContext
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _unused: list[Page] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def over(cls, contexts: Contexts, url: str, **options: Any) -> AsyncIterator[Watch]:
        """Watches a context with these options, and fails at the end where a page complained."""
        async with contexts.empty(url, **options) as context:
            watch = cls(url, context, _unused=list(context.pages))
            listeners: dict[Any, Any] = {
                "console": watch._heard,
                "weberror": watch._failed,
                "request": watch._requested,
            }
            for event, listener in listeners.items():
                context.on(event, listener)
            try:
                yield watch
            finally:
                for event, listener in listeners.items():
                    context.remove_listener(event, listener)
        assert watch.unexpected() == []

    async def page(self) -> Page:
        """An empty page of the context."""
        return self._unused.pop() if self._unused else await self.context.new_page()

    def unexpected(self) -> list[str]:
        """The complaints that no pattern of `expected` matches."""
        return [one for one in self.complaints if not any(re.search(pattern, one) for pattern in self.expected)]

    def _failed(self, failure: WebError) -> None:
        self.complaints.append(f"error in the page: {failure.error}")

    def _heard(self, message: ConsoleMessage) -> None:
        # A refusal by the content security policy is an error of the console too.
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "about:", "blob:")):
            self.complaints.append(f"request to another host: {request.url}")
