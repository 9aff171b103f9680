"""Measures whether pages delay polls: how late a worker polls in a minute without pages, and in one with many.

Both minutes are of one run of `poller run`, which serves the pages itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.aims import Figure, show
from benchmarks.machine import CLIENT_CPU, SERVER_CPU, pinned
from benchmarks.parts import poller_over
from benchmarks.poll.lab import responding
from benchmarks.service import service_environment
from poller.core.schedule import Due

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.poll.lab import Responder
    from poller.app import App

ORGS: Final = 1_000
INTERVAL_SECONDS: Final = 60
PAGES_A_SECOND: Final = 20
PATHS: Final = ("/", "/orgs/500", "/health", "/seats", "/?q=a")
_LATENCY_SECONDS: Final = 0.1
_MOST: Final = 1.1
_NOTHING_LATE: Final = 0.005
"""Seconds below which the measurement of lateness itself is the noise."""


async def measure() -> None:
    """Print the table: a minute in which every token is obtained, two without pages and two with them, in turn."""
    with pinned(SERVER_CPU):
        async with (
            responding(_LATENCY_SECONDS) as responder,
            poller_over(
                responder.data_centers,
                ORGS,
                edition="ultimate",
                credit_share=1.0,
                poll_interval_seconds=INTERVAL_SECONDS,
            ) as app,
            _service(app, responder) as url,
        ):
            await asyncio.sleep(INTERVAL_SECONDS + 5)
            quiet, busy, pages = [], [], 0
            for _ in range(2):
                began = datetime.now(UTC)
                await asyncio.sleep(INTERVAL_SECONDS)
                middle = datetime.now(UTC)
                pages += await _browse(url, INTERVAL_SECONDS)
                await asyncio.sleep(1)
                quiet += await _late(app, began, middle)
                busy += await _late(app, middle, datetime.now(UTC))
    without, with_pages = _p99(quiet), _p99(busy)
    ratio = max(with_pages, _NOTHING_LATE) / max(without, _NOTHING_LATE)
    show(
        f"Polls while pages are served: {ORGS:,} orgs every {INTERVAL_SECONDS} s, one worker",
        [
            Figure("pages a second", pages / (2 * INTERVAL_SECONDS), "{:,.1f}"),
            Figure("p99 lateness of polls without pages, s", without, "{:.3f}"),
            Figure("- with pages, s", with_pages, "{:.3f}"),
            Figure("- of the lateness without", ratio, "{:.2f}", at_most=_MOST),
        ],
        ["Minutes with and without pages alternate in one run."],
    )


async def served_url(lines: asyncio.StreamReader) -> str:
    """The address that a starting service logs; its later lines are read and forgotten."""
    while line := await lines.readline():
        with suppress(ValueError):
            event = json.loads(line)
            if event["event"] == "web.served":
                asyncio.get_running_loop().create_task(_drain(lines))
                return str(event["url"])
    raise AssertionError("the service ended")


async def _drain(lines: asyncio.StreamReader) -> None:
    while await lines.read(65_536):
        pass


@asynccontextmanager
async def _service(app: App, responder: Responder) -> AsyncIterator[str]:
    environment = service_environment(app, responder.data_centers, INTERVAL_SECONDS) | {"POLLER_LOG_FORMAT": "json"}
    # The worker has a core of its own: whoever asks for pages, PostgreSQL and the responder share the other.
    with pinned(CLIENT_CPU):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "poller", "run"), env=environment, stderr=asyncio.subprocess.PIPE
        )
    assert process.stderr is not None
    try:
        yield await served_url(process.stderr)
    finally:
        process.terminate()
        assert await process.wait() == 0


async def _browse(url: str, seconds: float) -> int:
    """Requests pages at a steady rate; returns how many came."""
    loop = asyncio.get_running_loop()
    began, pages = loop.time(), 0

    async def request(session: aiohttp.ClientSession, path: str) -> None:
        nonlocal pages
        async with session.get(url + path, headers={"Accept": "text/html"}) as reply:
            await reply.read()
            pages += reply.status == 200

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for number in range(int(seconds * PAGES_A_SECOND)):
            tasks.create_task(request(session, PATHS[number % len(PATHS)]))
            await asyncio.sleep(max(began + (number + 1) / PAGES_A_SECOND - loop.time(), 0))
    return pages


async def _late(app: App, since: datetime, until: datetime) -> list[float]:
    """Seconds from when each slot was due to the start of its poll, for slots due in this time."""
    rows = await app.database.fetch("SELECT org_id, slot, polled_at, outcome FROM org_snapshots WHERE slot > $1",
                                    since - timedelta(seconds=2 * INTERVAL_SECONDS))  # fmt: skip
    late = []
    for row in rows:
        assert row["outcome"] == "ok", dict(row)
        due = Due(row["org_id"], row["slot"], INTERVAL_SECONDS).at
        if since <= due < until:
            late.append((row["polled_at"] - due) / timedelta(seconds=1))
    return late


def _p99(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[int(0.99 * len(ordered))]
