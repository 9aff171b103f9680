"""What every page promises: a strict policy, no inline script or style, no other host, and problems shown as pages."""

from __future__ import annotations

import re

from tests.web.pages.served import pages_of


async def test_the_start_page_runs_nothing_inline_and_asks_no_other_host(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        status, text, headers = await pages.get("/")
        assert status == 200
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        page = await pages.page("/")
        assert all(script["src"].startswith("/static/") and not script.text for script in page.all("script"))
        assert not list(page.all("style"))
        assert not re.search(r"\s(style|on\w+)=", text)
        assert not re.search(r'(href|src|action)="(https?:)?//', text)


async def test_pages_are_compressed_where_the_browser_accepts_it(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        for accepted, coding in (("gzip", "gzip"), ("identity", None)):
            headers = {"Accept": "text/html", "Accept-Encoding": accepted}
            async with pages.session.get(f"{pages.url}/", headers=headers) as reply:
                assert reply.headers.get("Content-Encoding") == coding
                assert "</html>" in await reply.text()
