"""The server: `/healthz`, `/readyz`, `/metrics`. It decides nothing, and shows nothing about any single org."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from poller.core.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from poller.store.figures import FleetFigures
    from poller.web.metrics import Figures

ANSWER_SECONDS: Final = 3.0
"""A database that takes longer counts as away: whoever asks has a timeout of their own."""

log = structlog.get_logger("poller.web")


@dataclass(frozen=True, slots=True)
class Health:
    """How to ask the rest of the process.

    `why_not_ready` says in a few words why no polls are made just now, or nothing.
    """

    why_not_ready: Callable[[], str | None]
    fleet_figures: Callable[[], Awaitable[FleetFigures]]


@asynccontextmanager
async def serve(host: str, port: int, health: Health, figures: Figures) -> AsyncIterator[str | None]:
    """Serve as long as the context lasts; the address. None, with a warning, where it cannot be had.

    A second worker of a machine finds the port taken: it has polls to make all the same.
    """
    runner = web.AppRunner(_app(health, figures), access_log=None, shutdown_timeout=1.0)
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


def _app(health: Health, figures: Figures) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        why_not = health.why_not_ready()
        if why_not is None and await _ask(health) is None:
            why_not = "the database does not answer"
        return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ready'}\n")

    async def metrics(_request: web.Request) -> web.Response:
        body = figures.text(await _ask(health))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


async def _ask(health: Health) -> FleetFigures | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await health.fleet_figures()
    except (DatabaseError, TimeoutError):
        return None
