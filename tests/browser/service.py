"""A worker and its web server in this process, as `poller run` puts them together, between PostgreSQL and a Zoho."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from poller.app import App, open_app, open_runner
from poller.cli.commands.service import new_worker, serving
from poller.cli.commands.web import access_of
from poller.core.datacenters import with_operators
from poller.settings import Settings
from poller.simulator import Simulator, SimulatorOptions
from poller.web import WorkerMetrics
from tests.browser.fleet import fill
from tests.command import KEYS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ORGS: Final = 60
"""More than a page of fifty rows."""
LIVE: Final = 6
"""The first orgs of the fleet are polled every two seconds, the others once an hour."""


@dataclass
class Service:
    """A running service, its orgs by name, and the address of its pages."""

    app: App
    sim: Simulator
    ids: dict[str, int]
    url: str

    @property
    def names(self) -> list[str]:
        """The names of the orgs, in the order of their numbers in the simulator."""
        return list(self.ids)


@asynccontextmanager
async def open_service(dsn: str, *, web_dsn: str | None = None, orgs: int = ORGS) -> AsyncIterator[Service]:
    """Fills the database and runs a worker and a web server on it; `web_dsn`: another way for the web server."""
    async with Simulator(SimulatorOptions(orgs=orgs)) as sim:
        settings = Settings(
            database_url=SecretStr(dsn),
            secret_keys=SecretStr(KEYS),
            data_centers=with_operators(sim.data_centers_setting()),
            poll_interval_seconds=3_600,
            credit_share=1.0,
            web_port=0,
        )
        async with open_app(settings) as app:
            ids = await fill(app, sim)
            ids = {org.name: ids[org.name] for org in sim.fleet()}
            live = list(ids.values())[:LIVE]
            await app.database.execute(
                """
                UPDATE orgs SET poll_interval_seconds = 2, edition = 'ultimate', licences = 100000, parked_at = NULL,
                                paused_at = NULL, parked_code = NULL
                WHERE id = ANY($1)
                """,
                live,
            )
            async with _running(app, App(settings, app.database, app.keyring, web_dsn or dsn)) as url:
                yield Service(app, sim, ids, url)


@asynccontextmanager
async def _running(app: App, web: App) -> AsyncIterator[str]:
    metrics, stopping = WorkerMetrics(), asyncio.Event()
    async with open_runner(app, instrumentation=metrics) as runner:
        worker = new_worker(app, runner, metrics)
        async with serving(web, worker, metrics, await access_of(app)) as url, asyncio.TaskGroup() as tasks:
            assert url is not None
            tasks.create_task(worker.run(stopping))
            try:
                yield url
            finally:
                stopping.set()
