"""The probes: `/healthz` (the process is alive) and `/readyz` (it does its work), under any host name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import web

from poller.core.errors import DatabaseError
from poller.web.middlewares import HOST_IS_OURS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from poller.core.fleet import FleetStats

ANSWER_SECONDS: Final = 3.0
"""A database that takes longer counts as unreachable: orchestrators and Prometheus have timeouts, too."""

T = TypeVar("T")


def probe_routes(
    not_ready_reason: Callable[[], str | None], fleet_figures: Callable[[], Awaitable[FleetStats]]
) -> Iterable[web.RouteDef]:
    """The two probes; `not_ready_reason` returns in a few words why this process does not work now, or None."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(request: web.Request) -> web.Response:
        why_not = not_ready_reason() or await _database_trouble(fleet_figures)
        if why_not is not None and not request[HOST_IS_OURS]:
            why_not = "not ready"
        return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ready'}\n")

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


async def ask(read: Callable[[], Awaitable[T]]) -> T | None:
    """The result of a query, or None if the database does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await read()
    except (DatabaseError, TimeoutError):
        return None


async def _database_trouble(read: Callable[[], Awaitable[object]]) -> str | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await read()
    except DatabaseError as error:
        return error.what
    except TimeoutError:
        return "the database does not answer"
    return None
