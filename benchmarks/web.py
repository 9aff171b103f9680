"""What the pages cost: bytes, processor time of the server and of PostgreSQL, first paint in Chromium, delay of polls.

`poller web` serves a fleet with 90 days of daily counts. Processor times are those of the whole process over many
requests, so other work on the machine changes them little. Polls are measured in a worker that serves pages too.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from playwright.async_api import async_playwright

from benchmarks import web_lateness
from benchmarks.aims import Figure, show
from benchmarks.fleet import filled_fleet
from benchmarks.machine import cpu_seconds
from poller.store.database import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser

SIZES: Final = (5_000, 50_000)
REQUESTS: Final = 60
PAINTS: Final = 7
PAGES: Final = {"Fleet": "/", "Org": "/orgs/500", "Health": "/health", "Seats": "/seats", "API": "/docs"}
CHROMIUM: Final = "/usr/bin/chromium"
_MOST_KB: Final = 10.0
_MOST_CPU_MS: Final = 10.0
_MOST_PAINT_MS: Final = 1_000.0
_MOST_GROWTH: Final = 2.0
_TIMEOUT_SECONDS: Final = 3_600.0

_HISTORY: Final = (
    """
    INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
    SELECT type, current_date - back, id, u, u, u, u, 96 * u, 96, 0
    FROM unnest(ARRAY[1, 2, 8]) AS type, generate_series(1, 90) AS back,
         LATERAL (SELECT id, 80 + id % 40 - back * (id % 7 - 2) / 30 AS u FROM orgs) AS counts
    """,
    """
    INSERT INTO fleet_days (type, day, total, orgs, unknown)
    SELECT type, day, sum(last), count(*), 0 FROM daily_counts GROUP BY 1, 2 ON CONFLICT DO NOTHING
    """,
    "DELETE FROM unsummed_days",
    "DELETE FROM dirty_days",
    "UPDATE rollup_state SET rolled_until = current_date",
    """
    INSERT INTO forecast_results (org_id, user_type, made_at, last_day, level, per_day, method, seats, exhausted_on,
                                  exhausted_low, exhausted_high, backtest_error, backtest_windows)
    SELECT id, 'ActiveUsers', now(), current_date - 1, 80 + id % 40, id % 7 / 30.0, 'trend', 100 + id % 50,
           CASE WHEN id % 9 = 0 AND 80 + id % 40 < 100 + id % 50 THEN current_date + id % 80 END, NULL, NULL, 0.5, 4
    FROM orgs
    """,
    "VACUUM (ANALYZE)",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one page: kilobytes gzipped, milliseconds of processor time of server and PostgreSQL, and until it comes."""

    kilobytes: float
    server_ms: float
    postgresql_ms: float
    reply_ms: float


@dataclass(frozen=True, slots=True)
class Server:
    """`poller web`, and the PostgreSQL it reads."""

    url: str
    pid: int
    postgresql_pid: int

    async def cost(self, session: aiohttp.ClientSession, path: str) -> Cost:
        """The mean of many requests, one after the other."""
        body = b""
        taken: list[float] = []
        for _ in range(3):
            await _get(session, self.url + path)
        server, postgresql = cpu_seconds(self.pid), cpu_seconds(self.postgresql_pid)
        for _ in range(REQUESTS):
            began = time.perf_counter()
            body = await _get(session, self.url + path)
            taken.append(time.perf_counter() - began)
        server, postgresql = cpu_seconds(self.pid) - server, cpu_seconds(self.postgresql_pid) - postgresql
        each = 1_000 / REQUESTS
        return Cost(len(gzip.compress(body, 4)) / 1_000, each * server, each * postgresql, 1_000 * median(taken))


async def main(orgs: int | None = None) -> None:
    """Print a table for each size of fleet, and one of the delay of polls."""
    before: Mapping[str, Cost] = {}
    for size in SIZES if orgs is None else (orgs,):
        async with filled_fleet(size) as environ:
            await add_history(environ["POLLER_DATABASE_URL"])
            async with _serving(environ) as server:
                before = await _measure(server, size, before)
    await web_lateness.measure()


async def add_history(dsn: str) -> None:
    """Writes 90 days of daily counts and the forecasts of every org."""
    async with await connect(dsn, command_timeout=_TIMEOUT_SECONDS) as database:
        for statement in _HISTORY:
            await database.execute(statement)


async def _measure(server: Server, size: int, before: Mapping[str, Cost]) -> dict[str, Cost]:
    figures: list[Figure] = []
    costs: dict[str, Cost] = {}
    async with aiohttp.ClientSession() as session, _chromium() as browser:
        for name, path in PAGES.items():
            cost = costs[name] = await server.cost(session, path)
            paint = median([await _first_paint(browser, server.url + path) for _ in range(PAINTS)])
            figures += _figures(name, cost, before.get(name))
            figures.append(Figure("- first paint, ms", paint, "{:,.0f}", at_most=_MOST_PAINT_MS))
        refresh = await _refresh_path(session, server.url)
        if refresh is not None:
            cost = await server.cost(session, refresh)
            figures += _figures("Fleet, a refresh of its rows", cost, None)
    show(f"Pages: {size:,} orgs, 90 days", figures)
    return costs


def _figures(name: str, cost: Cost, before: Cost | None) -> list[Figure]:
    figures = [
        Figure(f"{name}: KB gzipped", cost.kilobytes, "{:,.1f}", at_most=_MOST_KB),
        Figure("- processor time of the server, ms", cost.server_ms, "{:,.1f}", at_most=_MOST_CPU_MS),
        Figure("- of PostgreSQL, ms", cost.postgresql_ms, "{:,.1f}"),
        Figure("- until the whole reply is there, ms", cost.reply_ms, "{:,.1f}"),
    ]
    if before is not None:
        ratio = cost.reply_ms / before.reply_ms
        figures.append(Figure("- of the time with a tenth of the orgs", ratio, "{:,.1f}", at_most=_MOST_GROWTH))
    return figures


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url, headers={"Accept": "text/html"}) as reply:
        assert reply.status in {200, 204, 304}, (url, reply.status)
        return await reply.read()


async def _refresh_path(session: aiohttp.ClientSession, url: str) -> str | None:
    """What an open Fleet page requests every few seconds: its rows, of which none has changed."""
    page = (await _get(session, url + "/")).decode()
    found = re.search(r'data-refresh="([^"]*rows[^"]*)"', page)
    if found is None:
        return None
    rows = re.findall(r'data-digest="(\w+)">.*?href="/orgs/(\d+)"', page)
    shown = "-".join(f"{row}.{digest}" for digest, row in rows)
    assert shown, "the page has no row to refresh"
    path = found[1].replace("&amp;", "&")
    return f"{path}{'&' if '?' in path else '?'}shown={shown}"


@asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def _first_paint(browser: Browser, url: str) -> float:
    """Milliseconds from the start of the navigation, in a new context without anything cached."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = await context.new_page()
        await page.goto(url)
        handle = await page.wait_for_selector("main h1")
        assert handle is not None
        paints: float = await page.evaluate("""() => new Promise((resolve) => new PerformanceObserver((list) => resolve(
            list.getEntriesByName("first-contentful-paint")[0].startTime)).observe({type: "paint", buffered: true}))""")
        return paints
    finally:
        await context.close()


@asynccontextmanager
async def _serving(environ: Mapping[str, str]) -> AsyncIterator[Server]:
    """Runs `poller web` on any free port."""
    folder = Path(parse_qs(urlsplit(environ["POLLER_DATABASE_URL"]).query)["host"][0])
    postgresql_pid = int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", "web"),
        env={**os.environ, **environ, "POLLER_WEB_PORT": "0", "POLLER_LOG_FORMAT": "json"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        yield Server(await web_lateness.served_url(process.stderr), process.pid, postgresql_pid)
    finally:
        process.terminate()
        await process.wait()
