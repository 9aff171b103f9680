"""The server: pages, probes, metrics and the API behind the same checks. It decides nothing.

It names no org but to those who may see it, and at `/metrics/orgs`, where the operator asked for it and the fleet is no
larger than was asked for.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from poller.admin.access import AccessStore
from poller.core.errors import OperationError
from poller.web import middlewares
from poller.web.access import Access
from poller.web.audit_trail import audit_trail
from poller.web.authentication import Authenticator
from poller.web.callers import WRITER
from poller.web.connections import ConnectionLimits, Listener
from poller.web.loop_share import LoopShare
from poller.web.metrics.routes import metric_routes
from poller.web.pages import page_routes
from poller.web.pages.login import LogIn
from poller.web.pages.problems import problem_page
from poller.web.pages.rendering import Renderer
from poller.web.pages.site import Site
from poller.web.probes import probe_routes
from poller.web.rate_limited_log import RateLimitedLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from poller.admin.writer import Writer
    from poller.core.fleet import FleetStats
    from poller.web.api import Api
    from poller.web.metrics import ProcessMetrics

log = structlog.get_logger("poller.web")


@dataclass(frozen=True, slots=True)
class Health:
    """How to ask the rest of the process.

    `not_ready_reason` says in a few words why no polls are made just now, or nothing. `org_ages` tells of up to so many
    orgs; where there are more than `orgs_named`, none is named.
    """

    not_ready_reason: Callable[[], str | None]
    fleet_figures: Callable[[], Awaitable[FleetStats]]
    org_ages: Callable[[int], Awaitable[Mapping[str, float]]]
    orgs_named: int = 0


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    health: Health,
    metrics: ProcessMetrics,
    api: Api | None = None,
    *,
    access: Access | None = None,
    limits: ConnectionLimits | None = None,
    required: bool = False,
    writer: Writer | None = None,
) -> AsyncIterator[str | None]:
    """Serve as long as the context lasts; the address. Without a `writer` there is no log-in and no stored key.

    Where the address cannot be had: an `OperationError` if it is `required`; else a warning and None, for a worker,
    which has polls to make all the same.
    """
    rejected = RateLimitedLog()
    app = web_app(health, metrics, api, access or Access(), writer=writer, rejected=rejected)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None  # noqa: S101  # set up just now
    listener = Listener(runner.server, limits or ConnectionLimits(), rejected)
    metrics.add_gauge("poller_web_connections", "Connections to the web server.", lambda: listener.connections)
    try:
        yield await _listen(listener, host, port, required=required)
    finally:
        await listener.close()
        await runner.cleanup()


async def _listen(listener: Listener, host: str, port: int, *, required: bool) -> str | None:
    remedy = "set POLLER_WEB_HOST to an address of this machine and POLLER_WEB_PORT to a free port, 0 for any"
    try:
        address, port = await listener.open(host, port)
    except OSError as refused:
        if required:
            what = f"{host} port {port} cannot be listened at: {refused.strerror}"
            raise OperationError(what, remedy) from refused
        log.warning("web.not_served", host=host, port=port, why=refused.strerror, remedy=remedy)
        return None
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    log.info("web.served", url=url)
    return url


def web_app(
    health: Health,
    metrics: ProcessMetrics,
    api: Api | None,
    access: Access,
    *,
    writer: Writer | None = None,
    rejected: RateLimitedLog | None = None,
) -> web.Application:
    """The application with every route; tests walk over its router."""
    share, rejected = LoopShare(), rejected or RateLimitedLog()
    site = None if api is None else Site(api.reader, share, Renderer(share))
    store = None if writer is None else AccessStore(writer.database, writer.keyring)
    authenticator = Authenticator(access, store, rejected)
    checks = [
        middlewares.replies(metrics.web_replied),
        middlewares.host_check(access, rejected),
        middlewares.key_check(authenticator, rejected, None if site is None else partial(problem_page, site)),
        middlewares.origin_check(access, rejected),
        middlewares.load_limit(),
        middlewares.read_body,
    ]
    if writer is not None:
        checks.append(audit_trail(writer))
    app = web.Application(middlewares=checks, client_max_size=middlewares.LONGEST_BODY)
    app.on_response_prepare.append(middlewares.add_headers)
    if site is not None:
        app.add_routes(page_routes(site))
        if writer is not None:
            app[WRITER] = writer
            app.add_routes(LogIn(site, authenticator, writer).routes())
    app.add_routes(probe_routes(health.not_ready_reason, health.fleet_figures))
    app.add_routes(metric_routes(metrics, health.fleet_figures, health.org_ages, health.orgs_named, share))
    if api is not None:
        app.add_routes(api.routes(share))
    return app
