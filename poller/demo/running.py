"""A running demo: imports the fleet, writes its history, and polls it once before the worker starts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.app import App, open_app, open_runner
from poller.core.datacenters import with_operators
from poller.demo import troubles
from poller.demo.folder import FOLDER, forget_another_fleet, only_one
from poller.demo.history import DemoHistory
from poller.demo.orgs import entries
from poller.polling.poll_all import poll_all
from poller.simulator import Simulator, SimulatorOptions
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import find_orgs, pause
from poller.worker.analyses import forecast_fleet, search_anomalies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from poller.demo.options import DemoOptions
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.poll_all import Committed
    from poller.polling.runner import PollRunner
    from poller.settings import Settings

DATA_CENTERS: Final = ("sim-us", "sim-eu", "sim-in")


class Demo:
    """A running demo; `open_demo` returns it."""

    def __init__(self, app: App, simulator: Simulator, runner: PollRunner, options: DemoOptions) -> None:
        self.app = app
        self.simulator = simulator
        self.runner = runner
        self._options = options
        self._ids: list[int] = []

    async def import_fleet(self) -> int:
        """Imports the simulated orgs, like `poller orgs import`; returns how many there are."""
        database = self.app.database
        valid = entries(self.simulator, self.app.settings.data_centers, database.clock.now())
        await import_orgs(database, self.app.keyring, valid)
        self._ids = [org.id for org in await find_orgs(database, [entry.name for entry in valid])]
        # demo.schedules, demo.jobs: `back_fill` writes the time since the last demo, which would count as missed.
        await database.execute("DELETE FROM org_schedules")
        await database.execute("DELETE FROM pgqueuer")
        return len(valid)

    async def back_fill(self, progress: Callable[[int, int], None]) -> int:
        """Writes the missing history; see `DemoHistory.write`."""
        return await self._history().write(progress)

    async def analyse(self) -> None:
        """Writes the seats of the history, one reading a week, and the forecasts and anomalies."""
        database, now = self.app.database, self.app.database.clock.now()
        await self._history().write_seats()
        await forecast_fleet(database, now)
        await search_anomalies(database, now)

    async def cause_trouble(self) -> None:
        """Makes some orgs fail and pauses one, as the history says."""
        troubles.cause_trouble(self.simulator)
        if troubles.has_trouble(self._options.orgs):
            paused = self.simulator.org(troubles.PAUSED).name
            await pause(self.app.database, [paused], self.app.database.clock.now())

    async def poll(self, committed: Committed) -> None:
        """Polls every org once, but not the one that has just been added."""
        new = troubles.never_polled(self._options.orgs)
        skipped = None if new is None else self._ids[new]
        await poll_all(self.runner, None, committed, wanted=lambda org_id, _slot: org_id != skipped)
        if troubles.has_trouble(self._options.orgs):
            await self._backdate()

    async def _backdate(self) -> None:
        """Parks and pauses orgs since when the history says, and not since this demo began."""
        now = self.app.database.clock.now()
        since = {index: now - timedelta(hours=failure.hours) for index, failure in troubles.FAILURES.items()}
        since[troubles.PAUSED] = now - timedelta(days=troubles.PAUSED_DAYS)
        # demo.backdate
        await self.app.database.execute(
            """
            UPDATE orgs SET parked_at = CASE WHEN parked_at IS NOT NULL THEN least(parked_at, given.since) END,
                            paused_at = CASE WHEN paused_at IS NOT NULL THEN least(paused_at, given.since) END
            FROM unnest($1::int[], $2::timestamptz[]) AS given (org_id, since)
            WHERE id = given.org_id AND (parked_at IS NOT NULL OR paused_at IS NOT NULL)
            """,
            [self._ids[index] for index in since],
            list(since.values()),
        )

    def _history(self) -> DemoHistory:
        database = self.app.database
        return DemoHistory(database, self.simulator, self._options, self._ids, database.clock.now())


@asynccontextmanager
async def open_demo(
    settings: Settings, options: DemoOptions, instrumentation: Instrumentation | None = None
) -> AsyncIterator[Demo]:
    """Starts the simulator and opens the demo's database; imports nothing yet."""
    folder = settings.data_dir / FOLDER
    with only_one(folder):
        forget_another_fleet(folder, options)
        simulated = SimulatorOptions(orgs=options.orgs, seed=options.seed, data_centers=DATA_CENTERS)
        async with Simulator(simulated) as simulator:
            own = _own_settings(settings, folder, simulator, options)
            async with (
                open_app(own, name="poller demo", create=True) as app,
                open_runner(app, instrumentation=instrumentation) as runner,
            ):
                yield Demo(app, simulator, runner, options)


def _own_settings(settings: Settings, folder: Path, simulator: Simulator, options: DemoOptions) -> Settings:
    return settings.model_copy(
        update={
            "database_url": None,
            "secret_keys": None,
            "proxy": None,
            "data_dir": folder,
            "data_centers": with_operators(simulator.data_centers_setting()),
            "poll_interval_seconds": options.every_seconds,
            # No other program uses these orgs' credits, and the demo polls more often than a service.
            "credit_share": 1.0,
        }
    )
