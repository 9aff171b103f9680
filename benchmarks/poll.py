"""How fast the whole line is beside a bare tuned aiohttp loop on the same server, in the same run.

The server and PostgreSQL share one core, the client has the other. Each round times both, in turn.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import TYPE_CHECKING

import aiohttp
import orjson
import uvloop
from yarl import URL

from benchmarks.parts import CLIENT_CPU, poller_over, simulated_zoho, table
from poller import log
from poller.app import App, open_fleet
from poller.core.model import USER_TYPES
from poller.store.tokens import TokenStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.fleet import Polled

ROUNDS = 5
IN_FLIGHT = 64


async def main(orgs: int | None = None) -> None:
    """Print requests per second of both, and their ratio."""
    orgs = orgs or 1_000
    log.configure(log_format=None, level="error")
    os.sched_setaffinity(0, {CLIENT_CPU})
    ratios, bare_figures, poll_figures = [], [], []
    async with (
        simulated_zoho(orgs) as data_centers,
        poller_over(data_centers, orgs, concurrency=IN_FLIGHT, credit_share=1.0) as app,
    ):
        await _poll(app)  # obtains the tokens
        for _ in range(ROUNDS):
            bare = await _bare(app, 10 * orgs)
            polled = await _poll(app)
            bare_figures.append(bare)
            poll_figures.append(polled)
            ratios.append(polled / bare)
    table(
        f"poll: {orgs:,} orgs, {10 * orgs:,} requests a round, {IN_FLIGHT} in flight, median of {ROUNDS}",
        [
            ("bare aiohttp loop", f"{statistics.median(bare_figures):>9,.0f} requests/s"),
            ("poller poll", f"{statistics.median(poll_figures):>9,.0f} requests/s, rows committed"),
            ("ratio", f"{statistics.median(ratios):>9.2f}"),
        ],
    )


async def _poll(app: App) -> float:
    """Requests per second of one poll of the fleet, every row committed."""
    requests = 0

    def committed(batch: Sequence[Polled]) -> None:
        nonlocal requests
        requests += sum(one.snapshot.requests for one in batch)

    started = time.perf_counter()
    async with open_fleet(app) as fleet:
        await fleet.poll_now(None, committed)
    return requests / (time.perf_counter() - started)


async def _bare(app: App, requests: int) -> float:
    """Requests per second of a pool of coroutines that ask and decode, and do nothing else."""
    org_id = await app.database.fetchval("SELECT min(org_id) FROM access_tokens")
    token = await TokenStore(app.database, app.keyring).read(org_id)
    assert token is not None
    headers = {"Authorization": f"Zoho-oauthtoken {token.secret.reveal()}"}
    urls = [URL(f"{token.api_domain}/crm/v7/users/actions/count?type={kind}", encoded=True) for kind in USER_TYPES]
    left = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def ask() -> None:
            for number in left:
                async with session.get(urls[number % 10], headers=headers, allow_redirects=False) as response:
                    orjson.loads(await response.read())

        started = time.perf_counter()
        async with asyncio.TaskGroup() as pool:
            for _ in range(IN_FLIGHT):
                pool.create_task(ask())
        return requests / (time.perf_counter() - started)


if __name__ == "__main__":
    uvloop.run(main())
