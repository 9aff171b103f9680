"""A complete installation on a manual clock: a real PostgreSQL, a simulated Zoho, and the poller between them.

Zoho and the poller share one clock. A sleep advances it instead of waiting, so minutes of waiting take no time.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from poller.app import App, open_runner, open_zoho
from poller.core.datacenters import with_operators
from poller.core.model import COLUMNS
from poller.onboarding.context import OnboardingContext
from poller.polling.poll_all import poll_all
from poller.settings import Settings
from poller.simulator import Simulator, SimulatorOptions
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.pollable import pages_of_active
from tests.simulated_fleet import entries_of
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from poller.core.model import Org
    from poller.polling.results import PollResult
    from poller.simulator import SimulatedOrg
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.access import Zoho

    Poll = Callable[..., Awaitable[dict[str, PollResult]]]

SUNDAY = 1_763_856_000.0
"""Early on 2025-11-23 (UTC): a weekend, on which no simulated head-count moves."""


@dataclass
class Clock:
    """A manual clock in seconds since 1970; concurrent sleeps end concurrently."""

    seconds: float = SUNDAY

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)

    def turn(self, *, seconds: float = 0.0, minutes: float = 0.0, hours: float = 0.0) -> None:
        self.seconds += seconds + 60.0 * minutes + 3_600.0 * hours


@dataclass
class Line:
    """A poller with its database, and the simulated Zoho whose orgs it polls."""

    app: App
    sim: Simulator
    clock: Clock
    names: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Poll]:
        """A separate process for any number of polls; each poll returns the committed results by org name."""
        async with open_runner(self.app, now=self.clock.now, sleep=self.clock.sleep) as fleet:

            async def poll(names: Sequence[str] | None = None) -> dict[str, PollResult]:
                polled: dict[str, PollResult] = {}
                await poll_all(fleet, names, lambda batch: polled.update({one.org.name: one for one in batch}))
                return polled

            yield poll

    async def poll(self, names: Sequence[str] | None = None) -> dict[str, PollResult]:
        """Polls the fleet once in a new process."""
        async with self.process() as poll:
            return await poll(names)

    async def poll_one(self, index: int = 0) -> PollResult:
        """Polls the whole fleet; returns the result of one org."""
        return (await self.poll())[self.names[index]]

    @asynccontextmanager
    async def zoho(self) -> AsyncIterator[Zoho]:
        """The access of another process to Zoho."""
        async with open_zoho(self.app, now=self.clock.now, sleep=self.clock.sleep) as opened:
            yield opened

    def context(self, zoho: Zoho) -> OnboardingContext:
        """The context for checks and exchanges of grant codes."""
        return OnboardingContext(self.app.database, self.app.keyring, self.app.settings, zoho)

    async def import_again(self, orgs: Iterable[SimulatedOrg], **changes: Any) -> None:
        rows = [{**org.row(), **changes} for org in orgs]
        entries = entries_of(rows, self.app.settings.data_centers)
        await import_orgs(self.app.database, self.app.keyring, entries)
        self.names = [entry.name for entry in entries]

    async def row(self, index: int = 0) -> dict[str, Any]:
        """The newest snapshot of an org as stored; `counts` has Zoho's names of user types."""
        (row, *_) = await self.rows(index)
        return row

    async def rows(self, index: int = 0) -> list[dict[str, Any]]:
        """Every snapshot of an org, the newest first."""
        found = await self.app.database.fetch(
            "SELECT s.* FROM org_snapshots s JOIN orgs o ON o.id = s.org_id WHERE o.name = $1 ORDER BY slot DESC",
            self.names[index],
        )
        return [as_stored(row) for row in found]

    async def org(self, index: int = 0) -> dict[str, Any]:
        """The stored row of the org."""
        (found,) = await self.app.database.fetch("SELECT * FROM orgs WHERE name = $1", self.names[index])
        return dict(found)

    async def orgs(self) -> list[Org]:
        """The orgs as the poller sees them."""
        settings = self.app.settings
        found: list[Org] = []
        async for page in pages_of_active(
            self.app.database,
            None,
            now=self.clock.now(),
            api_version=settings.api_version,
            interval_seconds=settings.poll_interval_seconds,
        ):
            found.extend(one.org for one in page)
        return found

    def audit(self, index: int = 0) -> dict[str, Any]:
        """The audit of one org in the simulator."""
        found = [org for org in self.sim.audit()["orgs"] if org["index"] == index]
        return found[0] if found else {"requests": 0, "token_asks": 0, "token_issues": 0}

    @property
    def breaches(self) -> list[str]:
        broken: list[str] = self.sim.audit()["breaches"]
        return broken


def as_stored(row: Any) -> dict[str, Any]:
    errors = row["errors"] or {}
    return {
        **dict(row),
        "errors": json.loads(errors) if isinstance(errors, str) else errors,
        "counts": {kind.value: row[column] for kind, column in COLUMNS.items() if row[column] is not None},
    }


@asynccontextmanager
async def line(
    database: Database,
    keyring: Keyring,
    *,
    clock: Clock | None = None,
    settings: dict[str, Any] | None = None,
    row: Callable[[SimulatedOrg], dict[str, Any]] | None = None,
    more_data_centers: Callable[[Simulator], dict[str, Any]] = lambda _: {},
    **options: Any,
) -> AsyncIterator[Line]:
    """Runs a simulated Zoho with `options` and a poller with its orgs; `row` gives the import row of an org."""
    clock = clock or Clock()
    async with Simulator(SimulatorOptions(now=clock, **options)) as sim:
        data_centers = with_operators(sim.data_centers_setting() | more_data_centers(sim))
        made = Settings(data_centers=data_centers, **(settings or {}))
        opened = Line(App(made, database, keyring), sim, clock)
        rows = [(row or (lambda org: org.row()))(org) for org in sim.fleet()]
        await import_orgs(database, keyring, entries_of(rows, made.data_centers))
        opened.names = [org.name for org in sim.fleet()]
        yield opened
        WITNESS.know_simulator(sim)
