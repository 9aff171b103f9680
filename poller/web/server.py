"""The server: `/healthz`, `/readyz`, `/metrics`, and the API. It decides nothing.

It names no org but to who shows the API's key, and at `/metrics/orgs`, where the operator asked for it and the fleet is
no larger than was asked for.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from poller.core.errors import DatabaseError
from poller.web.shared import org_ages_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from poller.store.figures import FleetFigures
    from poller.web.api import Api
    from poller.web.metrics import Figures

ANSWER_SECONDS: Final = 3.0
"""A database that takes longer counts as away: whoever asks has a timeout of their own."""

_PROMETHEUS: Final = {"Content-Type": CONTENT_TYPE_LATEST}

T = TypeVar("T")

log = structlog.get_logger("poller.web")


@dataclass(frozen=True, slots=True)
class Health:
    """How to ask the rest of the process.

    `why_not_ready` says in a few words why no polls are made just now, or nothing. `org_ages` tells of up to so many
    orgs; where there are more than `orgs_named`, none is named.
    """

    why_not_ready: Callable[[], str | None]
    fleet_figures: Callable[[], Awaitable[FleetFigures]]
    org_ages: Callable[[int], Awaitable[Mapping[str, float]]]
    orgs_named: int = 0


@asynccontextmanager
async def serve(
    host: str, port: int, health: Health, figures: Figures, api: Api | None = None
) -> AsyncIterator[str | None]:
    """Serve as long as the context lasts; the address. None, with a warning, where it cannot be had.

    A second worker of a machine finds the port taken: it has polls to make all the same.
    """
    runner = web.AppRunner(_app(health, figures, api), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield await _listen(runner, host, port)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> str | None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as refusal:
        log.warning(
            "web.not_served",
            host=host,
            port=port,
            why=refusal.strerror,
            remedy="set POLLER_WEB_HOST to an address of this machine and POLLER_WEB_PORT to a free port, 0 for any",
        )
        return None
    address = runner.addresses[0]
    url = f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{address[1]}"
    log.info("web.served", url=url)
    return url


def _app(health: Health, figures: Figures, api: Api | None) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        why_not = health.why_not_ready()
        if why_not is None and await _ask(health.fleet_figures) is None:
            why_not = "the database does not answer"
        return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ready'}\n")

    async def metrics(_request: web.Request) -> web.Response:
        body = figures.text(await _ask(health.fleet_figures))
        return web.Response(body=body, headers=_PROMETHEUS)

    async def metrics_of_orgs(_request: web.Request) -> web.Response:
        if not health.orgs_named:
            return web.Response(status=404, text="set POLLER_METRICS_ORGS to the number of orgs that may be named\n")
        ages = await _ask(lambda: health.org_ages(health.orgs_named + 1))
        if ages is None:
            return web.Response(status=503, text="the database does not answer\n")
        if len(ages) > health.orgs_named:
            too_many = f"there are more orgs than the {health.orgs_named:,} of POLLER_METRICS_ORGS\n"
            return web.Response(status=413, text=too_many)
        return web.Response(body=org_ages_text(ages), headers=_PROMETHEUS)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes([web.get("/metrics", metrics), web.get("/metrics/orgs", metrics_of_orgs)])
    if api is not None:
        app.add_routes([web.get("/api/v1/trend", api.trend, allow_head=False)])
    return app


async def _ask(read: Callable[[], Awaitable[T]]) -> T | None:
    """What the database says, or None where it does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await read()
    except (DatabaseError, TimeoutError):
        return None
