"""Workers in this process with short intervals, between a real PostgreSQL and a simulated Zoho."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from poller.app import App, open_runner
from poller.core.datacenters import with_operators
from poller.settings import Settings
from poller.simulator import Simulator, SimulatorOptions
from poller.worker import Worker, WorkerConfig
from tests.simulated_fleet import import_fleet
from tests.witness import WITNESS
from tests.worker.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

QUICK = WorkerConfig(
    schedule_interval_seconds=0.1,
    idle_seconds=0.1,
    heartbeat_timeout_seconds=3.0,
    worker_heartbeat_seconds=0.2,
    shutdown_grace_seconds=5.0,
)


@dataclass
class Service:
    """A database, a simulated Zoho, and as many workers as a test starts."""

    app: App
    sim: Simulator
    names: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def worker(
        self, config: WorkerConfig = QUICK, *, database: Database | None = None, **options: Any
    ) -> AsyncIterator[Worker]:
        """Runs a worker and stops it at the end; `database`: another connection than that of the test."""
        stopping = asyncio.Event()
        app = self.app if database is None else App(self.app.settings, database, self.app.keyring)
        async with open_runner(app) as runner:
            worker = Worker(app.settings, app.database, runner, config, **({"now": app.database.clock.now} | options))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run(stopping))
                try:
                    yield worker
                finally:
                    stopping.set()

    async def rows(self) -> list[Any]:
        return await self.app.database.fetch(
            """
            SELECT s.*, o.name, EXISTS (SELECT FROM org_schedules c WHERE c.org_id = o.id) AS scheduled
            FROM org_snapshots s JOIN orgs o ON o.id = s.org_id ORDER BY s.slot, s.org_id
            """
        )

    async def until(self, query: str, *arguments: Any, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits until a query returns a true value; returns this value."""
        return await eventually(lambda: self.app.database.fetchval(query, *arguments), seconds)


@pytest.fixture
def service(database: Database, keyring: Keyring) -> Callable[..., AbstractAsyncContextManager[Service]]:
    @asynccontextmanager
    async def open_service(
        *, orgs: int = 5, interval: int = 2, options: dict[str, Any] | None = None, **changes: Any
    ) -> AsyncIterator[Service]:
        async with Simulator(SimulatorOptions(orgs=orgs, **(options or {}))) as sim:
            settings = Settings(
                data_centers=with_operators(sim.data_centers_setting()),
                poll_interval_seconds=interval,
                **({"credit_share": 1.0, "in_flight_share": 0.2} | changes),
            )
            names = await import_fleet(database, keyring, sim, settings.data_centers)
            # The day of a test is short: no interval is stretched. A fifth of these limits is within the smallest.
            await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
            yield Service(App(settings, database, keyring), sim, names)
            WITNESS.know_simulator(sim)

    return open_service
