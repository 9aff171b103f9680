from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from poller.app import open_fleet
from poller.core.model import Outcome
from poller.core.rate_limit import RateLimitState
from poller.core.schedule import advance
from poller.polling.batch_writer import BatchWriter
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.queue.jobs import JobQueue
from poller.store.queue.schedules import POLL, enqueue_due_slots, read_due
from poller.worker import Silent
from poller.worker.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.polling.plan import Plan
    from poller.polling.runner import PollRunner

    OpenService = Callable[..., Any]

ORGS = 3
HOUR = timedelta(hours=1)


class Freezing:
    """A fleet whose process is found to have been frozen while it waited for PostgreSQL, once."""

    def __init__(self, fleet: PollRunner) -> None:
        self._fleet = fleet
        self.polls: Dispatcher | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fleet, name)

    async def reserve(self, plans: Sequence[Plan]) -> None:
        await self._fleet.reserve(plans)
        if self.polls is not None:
            self.polls.cancel_all()


async def test_jobs_claimed_before_a_freeze_are_not_started_after_it_and_can_be_claimed_by_others(
    service: OpenService,
) -> None:
    async with service(orgs=ORGS, interval=3_600) as mine, open_fleet(mine.app) as fleet:
        database, freezing = mine.app.database, Freezing(fleet)
        now = await database.fetchval("SELECT now()")
        await enqueue_due_slots(
            database,
            lambda org, cursor, at: advance(org.id, 3_600, cursor, at, HOUR),
            now,
            HOUR,
            interval_seconds=3_600,
        )
        await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 s'")
        queue, others = JobQueue(database, uuid.uuid4()), JobQueue(database, uuid.uuid4())
        sink: BatchWriter[Any] = BatchWriter(lambda _: asyncio.sleep(0))
        polls: Any = Dispatcher(
            database, freezing, queue, sink,  # type: ignore[arg-type]  # all a fleet does
            now=lambda: now + HOUR, jitter=lambda: 0.0, observer=Silent(),
        )  # fmt: skip
        freezing.polls = polls
        breaks, jobs = polls.breaks, await queue.claim((POLL,), ORGS)
        assert len(jobs) == ORGS
        async with sink, asyncio.TaskGroup() as tasks:
            await polls.begin(jobs, tasks, breaks)
        assert (polls.under_way, polls.held) == (0, [])
        assert mine.sim.audit()["requests"].get("count", 0) == 0
        assert len(await others.claim((POLL,), 2 * ORGS)) == ORGS


class Noting(Silent):
    """Remembers why slots were put back."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def requeue(self, reason: str, slots: int) -> None:
        self.reasons += [reason] * slots


async def test_a_held_slot_waits_in_the_queue_until_its_hold_ends_and_is_then_polled(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, observer = mine.app.database, Noting()
        await enqueue_due_slots(
            database,
            lambda org, cursor, at: advance(org.id, 3_600, cursor, at, HOUR),
            await database.fetchval("SELECT now()"),
            HOUR,
            interval_seconds=3_600,
        )
        due = read_due(await database.fetchval("SELECT payload FROM pgqueuer WHERE entrypoint = 'poll'"))
        moment, hold_until = due.at, due.at + timedelta(seconds=30)
        held = RateLimitState(hold_until=hold_until.timestamp(), holds=1)
        await save_limits(database, [RateLimitUpdate(due.org_id, held, None, due.at)])
        queue, read = JobQueue(database, uuid.uuid4()), asyncio.Queue[Any]()

        async def keep(batch: Sequence[Any]) -> None:
            for one in batch:
                read.put_nowait(one)

        async with (
            open_fleet(mine.app, now=lambda: moment) as fleet,
            BatchWriter(keep) as sink,
            asyncio.TaskGroup() as tasks,
        ):
            polls = Dispatcher(database, fleet, queue, sink, now=lambda: moment, jitter=lambda: 0.0, observer=observer)

            async def claim() -> None:
                await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 s'")
                await polls.begin(await queue.claim((POLL,), 1), tasks, polls.breaks)

            await claim()
            assert observer.reasons == ["hold"]
            waits = await database.fetchval("SELECT execute_after - now() FROM pgqueuer WHERE status = 'queued'")
            assert timedelta(seconds=25) < waits <= timedelta(seconds=30)
            assert read.empty()
            moment = hold_until
            await claim()
            polled = (await read.get()).polled
            assert (polled.snapshot.slot, polled.snapshot.outcome) == (due.slot, Outcome.OK)
