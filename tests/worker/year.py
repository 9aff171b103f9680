"""A year of a service on a manual clock: actions of workers and operators, and accidents, in one database.

PostgreSQL is real, and its `now()` is this clock, also for the statements of PgQueuer. The code of the service
enqueues, claims and finishes slots and runs maintenance tasks; only the replies of orgs are made up.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from poller.core.admission import Discard, Poll, Record, decide
from poller.core.fleet import WorkerRecord
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot
from poller.core.policy import PollPolicy
from poller.core.retention import Retention
from poller.core.schedule import Advance, Cursor, advance
from poller.core.secret import Secret
from poller.polling.instrumentation import NULL_INSTRUMENTATION
from poller.store.orgs import credits as credit_store
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import pause, remove, resume
from poller.store.orgs.poll_state import read_poll_states
from poller.store.orgs.tokens import TokenStore
from poller.store.queue.jobs import JobQueue
from poller.store.queue.maintenance import enqueue_maintenance_tasks
from poller.store.queue.schedules import POLL, enqueue_due_slots, read_due
from poller.store.queue.workers import heartbeat_worker
from poller.store.series.snapshots import write_snapshots
from poller.worker.background import BackgroundJobs
from poller.worker.database_retry import DatabaseRetry
from poller.worker.maintenance import maintenance_tasks
from tests.store.fleet import entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queue.jobs import Job

BEGINS: Final = datetime(2027, 1, 1, 12, tzinfo=UTC)
INTERVAL: Final = timedelta(days=1)
"""How often each org is polled, and how far the clock is turned at a time."""
ORGS: Final = 24
PAUSED: Final = "org 1"
PAUSED_FOR: Final = 7
"""Steps, once in `MONTH`."""
MONTH: Final = 30
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)
KEPT: Final = Retention(months=13)
TASKS: Final = maintenance_tasks(snapshots=KEPT, days=None)
_SECONDS: Final = int(INTERVAL.total_seconds())
POLICY: Final = PollPolicy(_SECONDS)
_A_MOMENT: Final = timedelta(seconds=1)


@dataclass
class Year:
    """The database of a service and its current time. Needs a database with a table `clock`."""

    database: Database
    keyring: Keyring
    now: datetime = BEGINS
    names: list[str] = field(default_factory=lambda: [f"org {number}" for number in range(ORGS)])
    worker_id: uuid.UUID = field(default_factory=uuid.uuid4)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        await import_orgs(self.database, self.keyring, [entry(name) for name in self.names])
        await self.database.execute("UPDATE rollup_state SET rolled_until = $1", self.now.date())

    async def turn_to(self, moment: datetime) -> None:
        self.now = moment
        await self.database.execute("UPDATE clock SET moment = $1", moment)

    async def operators(self, step: int) -> None:
        """Gives every org new credentials in turn, pauses one for a week a month, and replaces one every quarter."""
        if step % 5 == 0:
            secret = Secret(f"1000.another-refresh-token-{step}")
            anew = replace(entry(self.names[step // 5 % ORGS]), refresh_token=secret)
            await import_orgs(self.database, self.keyring, [anew])
        if step % MONTH == MONTH // 3:
            await pause(self.database, [PAUSED], self.now)
        if step % MONTH == MONTH // 3 + PAUSED_FOR:
            await resume(self.database, [PAUSED], self.now)
        if step % (3 * MONTH) == MONTH:
            await remove(self.database, [self.names[2]], self.now)
            self.names[2] = f"org of step {step}"
            await import_orgs(self.database, self.keyring, [entry(self.names[2])])

    async def worker(self) -> None:
        """Sends a heartbeat, enqueues due slots and maintenance tasks, and polls claimed slots."""
        await heartbeat_worker(self.database, WorkerRecord(self.worker_id, "worker", "1", BEGINS, self.now, {}))
        await self._hand_out()
        await enqueue_maintenance_tasks(
            self.database, {name: task.every_seconds for name, task in TASKS.items()}, self.now
        )
        queue = JobQueue(self.database, self.worker_id, heartbeat_timeout=HEARTBEAT_TIMEOUT)
        while jobs := await queue.claim((POLL,), 50):
            await self._poll(jobs)
            await queue.finish([job.id for job in jobs])

    async def dying_worker(self) -> None:
        """Claims due slots and then ends without a trace."""
        await self._hand_out()
        assert (
            len(await JobQueue(self.database, self.worker_id, heartbeat_timeout=HEARTBEAT_TIMEOUT).claim((POLL,), 50))
            >= ORGS - 2
        )
        self.worker_id = uuid.uuid4()

    @asynccontextmanager
    async def side_jobs(self) -> AsyncIterator[None]:
        """Runs the background loop of the service, which waits for the manual clock."""
        queue = JobQueue(self.database, uuid.uuid4(), heartbeat_timeout=HEARTBEAT_TIMEOUT)
        side_jobs = BackgroundJobs(
            self.database,
            queue,
            DatabaseRetry(),
            TASKS,
            retention=KEPT,
            now=lambda: self.now,
            instrumentation=NULL_INSTRUMENTATION,
        )

        async def wait_to_be_woken(_seconds: float) -> None:
            self._idle.set()
            await self._wake.wait()
            self._wake.clear()

        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(side_jobs.run(wait_to_be_woken, 0.0))
            try:
                yield
            finally:
                loop.cancel()

    async def let_side_jobs_be_done(self) -> None:
        self._idle.clear()
        self._wake.set()
        await self._idle.wait()

    async def _hand_out(self) -> None:
        handed = await enqueue_due_slots(self.database, _due_slots, self.now, timedelta(), interval_seconds=_SECONDS)
        assert handed.alone
        # What is due at this moment is claimed after it.
        await self.turn_to(self.now + _A_MOMENT)

    async def _poll(self, jobs: list[Job]) -> None:
        due = [read_due(job.payload) for job in jobs]
        snapshots = []
        own_jobs = [job.id for job in jobs]
        states = await read_poll_states(
            self.database, self.keyring, POLICY, due, own_jobs, now=self.now, heartbeat_timeout=HEARTBEAT_TIMEOUT
        )
        for one, state in zip(due, states, strict=True):
            if state is None:
                continue
            match decide(state):
                case Poll():
                    counts = dict.fromkeys(USER_TYPES, 1_000 + one.org_id)
                    snapshots.append(Snapshot(one.org_id, one.slot, self.now, Outcome.OK, requests=10, counts=counts))
                case Record(outcome, error):
                    snapshots.append(Snapshot(one.org_id, one.slot, None, outcome, error))
                case Discard():
                    pass
                case later:
                    pytest.fail(f"{later} of {one}")
        await credit_store.spend(self.database, {one.org_id: 10 for one in snapshots}, self.now)
        tokens = TokenStore(self.database, self.keyring)
        await tokens.acquire_lease(due[0].org_id, uuid.uuid4(), 30.0, 0, self.now)
        await write_snapshots(self.database, snapshots)


def _due_slots(org: Org, cursor: Cursor | None, now: datetime) -> Advance:
    return advance(org.id, _SECONDS, cursor, now)
