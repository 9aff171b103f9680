"""Compares `poller plan` with a polled day: credits of each org, and requests that the simulator received."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from poller.app import App, open_runner
from poller.core.datacenters import with_operators
from poller.core.org_entry import OrgEntry, entry_from
from poller.polling.poll_all import poll_all
from poller.query.plan import CapacityPlan, capacity_plan
from poller.settings import Settings
from poller.simulator import Fault, Simulator, SimulatorOptions
from poller.store.database import connect
from poller.store.orgs.imports import import_orgs
from tests.postgres import let_now_be
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from poller.polling.results import PollResult
    from poller.simulator.fleet import SimulatedOrg
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

BEGINS: Final = datetime(2026, 11, 2, tzinfo=UTC)
STEP: Final = timedelta(minutes=15)
WARM_UP: Final = timedelta(hours=4)
"""Polled before the day, so that it begins in the middle of things."""
SPEED: Final = 60.0
"""Of the clock while a step is polled: what a poll waits for takes a sixtieth of the time."""
INTERVALS: Final = {1: "1h", 4: "2h"}
"""Intervals of their own, by the index of the org."""
ORGS: Final = 8
SEED: Final = 22
"""Of a fleet with five editions, two orgs of which are free."""


@dataclass
class Day:
    """A clock that is set at each step and runs fast within a step; the clock of PostgreSQL is a little ahead."""

    database: Database
    at: datetime = BEGINS
    since: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.at + timedelta(seconds=SPEED * (time.monotonic() - self.since))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    async def turn_to(self, at: datetime) -> None:
        self.at, self.since = max(at, self.now()), time.monotonic()
        await self.database.execute("UPDATE clock SET moment = $1", self.at + STEP)


def entry(org: SimulatedOrg, settings: Settings, index: int) -> OrgEntry:
    row = {**org.row(), **({"poll_interval": INTERVALS[index]} if index in INTERVALS else {})}
    found = entry_from(row, settings.data_centers)
    assert isinstance(found, OrgEntry)
    return found


@pytest.fixture
async def turned(database_url: str) -> AsyncIterator[Day]:
    """Opens a database on a manual clock."""
    async with await connect(database_url) as database:
        await database.execute("CREATE TABLE clock (moment timestamptz NOT NULL)")
        await database.execute("INSERT INTO clock VALUES ($1)", BEGINS)
    await let_now_be(database_url, "moment FROM public.clock")
    async with await connect(database_url) as database:
        yield Day(database)


async def poll_until(day: Day, app: App, until: datetime) -> None:
    """Polls every org in each of its slots, as the service does."""
    polled: set[tuple[int, datetime]] = set()

    def committed(batch: Sequence[PollResult]) -> None:
        polled.update((one.org.id, one.snapshot.slot) for one in batch)

    async with open_runner(app, now=day.now, sleep=day.sleep) as runner:
        moment = day.at
        while moment < until:
            await day.turn_to(moment)
            await poll_all(runner, None, committed, wanted=lambda org, slot: (org, slot) not in polled)
            moment += STEP
        await day.turn_to(until)


async def spent_by_org(day: Day, since: datetime) -> dict[str, int]:
    rows = await day.database.fetch(
        "SELECT o.name, sum(c.credits)::int AS credits FROM credit_spend c JOIN orgs o ON o.id = c.org_id"
        " WHERE c.bucket >= $1 AND c.bucket < $1 + interval '1 day' GROUP BY o.name",
        since,
    )
    return {row["name"]: row["credits"] for row in rows}


def planned_by_org(found: CapacityPlan) -> dict[str, float]:
    return {name: one.plan.credits_per_org for one in found.plan.planned for name in one.orgs.names}


async def test_the_plan_is_within_five_percent_of_the_credits_and_requests_of_a_simulated_day(
    turned: Day, keyring: Keyring
) -> None:
    day, database = turned, turned.database
    faults = (Fault(name="internal_error", probability=0.01),)
    options = SimulatorOptions(orgs=ORGS, seed=SEED, now=lambda: day.now().timestamp(), faults=faults)
    async with Simulator(options) as sim:
        settings = Settings(data_centers=with_operators(sim.data_centers_setting()))
        app = App(settings, database, keyring)
        entries = [entry(org, settings, place) for place, org in enumerate(sim.fleet())]
        await import_orgs(database, keyring, entries)
        WITNESS.know_simulator(sim)
        since = BEGINS + WARM_UP
        await poll_until(day, app, since)
        before = await capacity_plan(database, settings, [], day.now())
        requests_before = dict(sim.audit()["requests"])
        await poll_until(day, app, since + timedelta(days=1))
        after = await capacity_plan(database, settings, [], day.now())
        spent = await spent_by_org(day, since)
        requests = {name: number - requests_before.get(name, 0) for name, number in sim.audit()["requests"].items()}
    editions = {row.edition for row in before.plan.rows()}
    assert len(editions) == 5
    assert before.plan.whole.stretched_orgs == 2
    # Each plan for each org: the one made before the day, and the one that has measured it.
    for plan in (before, after):
        planned = planned_by_org(plan)
        assert planned.keys() == spent.keys()
        for org, taken in spent.items():
            assert planned[org] == pytest.approx(taken, rel=0.05), (org, plan.figures)
        assert plan.plan.whole.credits_a_day == pytest.approx(sum(spent.values()), rel=0.05)
        assert plan.plan.whole.requests_per_second * 86_400 == pytest.approx(sum(requests.values()), rel=0.05)
    assert after.figures.costs.requests_per_poll == pytest.approx(10.1, abs=0.07)
    assert {"requests_per_poll", "request_seconds"} <= after.figures.measured.keys()
    assert sum(requests.values()) - requests["token"] == sum(spent.values())
