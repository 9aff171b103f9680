from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.app import open_runner
from poller.core.circuit_breaker import CLOSED, CircuitBreaker
from poller.core.model import Outcome
from poller.core.rate_limit import RateLimitState
from poller.core.schedule import advance
from poller.polling.batch_writer import BatchWriter
from poller.polling.instrumentation import NullInstrumentation
from poller.polling.poll_all import poll_all
from poller.store.database import connect
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.queue.jobs import JobQueue
from poller.store.queue.schedules import POLL, enqueue_due_slots, read_due
from poller.worker.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.polling.ports import RequestCount
    from poller.polling.results import Admitted
    from poller.polling.runner import PollRunner
    from poller.store.database import Database

    OpenService = Callable[..., Any]

ORGS = 3
HOUR = timedelta(hours=1)
TEN_MINUTES = timedelta(minutes=10)


class Reserving:
    """A runner that calls `after` when it has reserved credits: what happens while the statement runs."""

    def __init__(self, runner: PollRunner, after: Callable[[], None]) -> None:
        self._runner = runner
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    async def reserve(self, admitted: Sequence[Admitted]) -> None:
        await self._runner.reserve(admitted)
        self._after()


async def queue_slots(database: Database, interval: timedelta) -> datetime:
    """Adds the next slot of each org to the queue, to be claimed at once; returns the time."""
    now: datetime = await database.fetchval("SELECT now()")
    seconds = int(interval.total_seconds())
    await enqueue_due_slots(
        database,
        lambda org, cursor, at: advance(org.id, seconds, cursor, at, interval),
        now,
        interval,
        interval_seconds=seconds,
    )
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 s'")
    return now


async def test_jobs_claimed_before_a_freeze_are_not_started_after_it_and_can_be_claimed_by_others(
    service: OpenService,
) -> None:
    async with service(orgs=ORGS, interval=3_600) as mine, open_runner(mine.app) as runner:
        database = mine.app.database
        now = await queue_slots(database, HOUR)
        queue, others = JobQueue(database, uuid.uuid4()), JobQueue(database, uuid.uuid4())
        writer: BatchWriter[Any] = BatchWriter(lambda _: asyncio.sleep(0))
        dispatcher: Any = Dispatcher(
            Reserving(runner, lambda: dispatcher.cancel_all()),  # type: ignore[arg-type]  # noqa: PLW0108 - it is made here
            queue, writer,
            now=lambda: now + HOUR, jitter=lambda: 0.0, max_concurrent_polls=32,
        )  # fmt: skip
        cancellations, jobs = dispatcher.cancellations, await queue.claim((POLL,), ORGS)
        assert len(jobs) == ORGS
        async with writer, asyncio.TaskGroup() as tasks:
            await dispatcher.start(jobs, tasks, cancellations)
        assert (dispatcher.running, dispatcher.jobs.ids) == (0, set())
        assert mine.sim.audit()["requests"].get("count", 0) == 0
        assert len(await others.claim((POLL,), 2 * ORGS)) == ORGS


@pytest.mark.parametrize(
    ("is_away", "expected"),
    [(False, (Outcome.MISSED, "too_late")), (True, (Outcome.UNAVAILABLE, "data_center_away"))],
    ids=["missed", "its data centre was away"],
)
async def test_a_slot_that_is_over_before_its_credits_are_reserved_is_not_polled_and_costs_nothing(
    service: OpenService, is_away: bool, expected: tuple[Outcome, str]
) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database = mine.app.database
        await queue_slots(database, HOUR)
        due = read_due(await database.fetchval("SELECT payload FROM pgqueuer WHERE entrypoint = 'poll'"))
        moment, queue, written = due.at, JobQueue(database, uuid.uuid4()), list[Any]()

        def slot_is_over() -> None:
            nonlocal moment
            moment = due.until

        async def keep(batch: Sequence[Any]) -> None:
            written.extend(batch)

        async with open_runner(mine.app, now=lambda: moment) as runner:
            dispatcher: Any = Dispatcher(
                Reserving(runner, slot_is_over), queue, writer := BatchWriter(keep),  # type: ignore[arg-type]
                now=lambda: moment, jitter=lambda: 0.0, max_concurrent_polls=32,
            )  # fmt: skip
            known = dispatcher.places.circuits.known
            home = await database.fetchval("SELECT data_center FROM orgs")
            if is_away:
                known[home] = CircuitBreaker(opened_at=due.at, probe_at=due.at)
            async with writer, asyncio.TaskGroup() as tasks:
                await dispatcher.start(await queue.claim((POLL,), 1), tasks, dispatcher.cancellations)
        (row,) = [one.result.snapshot for one in written]
        assert (row.slot, row.polled_at, (row.outcome, row.error)) == (due.slot, None, expected)
        # Nobody waits for the end of this poll to try the data centre again.
        assert known.get(home, CLOSED).probe_at == (moment if is_away else None)
        assert mine.sim.audit()["requests"].get("count", 0) == 0
        assert await database.fetchval("SELECT coalesce(sum(credits), 0) FROM credit_spend") == 0


class Noting(NullInstrumentation):
    """Records the reasons for returning slots."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def slots_requeued(self, reason: str, slots: int) -> None:
        self.reasons += [reason] * slots


async def test_a_held_slot_waits_in_the_queue_until_its_hold_ends_and_is_then_polled(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, observer = mine.app.database, Noting()
        await queue_slots(database, HOUR)
        due = read_due(await database.fetchval("SELECT payload FROM pgqueuer WHERE entrypoint = 'poll'"))
        moment, hold_until = due.at, due.at + timedelta(seconds=30)
        held = RateLimitState(hold_until=hold_until.timestamp(), holds=1)
        await save_limits(database, [RateLimitUpdate(due.org_id, held, None, due.at)])
        queue, read = JobQueue(database, uuid.uuid4()), asyncio.Queue[Any]()

        async def keep(batch: Sequence[Any]) -> None:
            for one in batch:
                read.put_nowait(one)

        async with (
            open_runner(mine.app, now=lambda: moment) as runner,
            BatchWriter(keep) as writer,
            asyncio.TaskGroup() as tasks,
        ):
            dispatcher = Dispatcher(
                runner,
                queue,
                writer,
                now=lambda: moment,
                jitter=lambda: 0.0,
                max_concurrent_polls=32,
                instrumentation=observer,
            )

            async def claim() -> None:
                await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 s'")
                await dispatcher.start(await queue.claim((POLL,), 1), tasks, dispatcher.cancellations)

            await claim()
            assert observer.reasons == ["hold"]
            waits = await database.fetchval("SELECT execute_after - now() FROM pgqueuer WHERE status = 'queued'")
            assert timedelta(seconds=25) < waits <= timedelta(seconds=30)
            assert read.empty()
            moment = hold_until
            await claim()
            result = (await read.get()).result
            assert (result.snapshot.slot, result.snapshot.outcome) == (due.slot, Outcome.OK)


class Requests(NullInstrumentation):
    """Records how many statements had run when each request for a count was sent."""

    def __init__(self, statements: Sequence[str]) -> None:
        self.statements = statements
        self.sent_after: list[int] = []

    def wrap_request_count(self, request: RequestCount) -> RequestCount:
        async def sent(*arguments: Any) -> Any:
            self.sent_after.append(len(self.statements))
            return await request(*arguments)

        return sent


async def test_three_statements_run_between_the_claim_of_jobs_and_their_first_request(
    service: OpenService, database_url: str
) -> None:
    statements: list[str] = []
    requests = Requests(statements)
    async with (
        service(orgs=ORGS, interval=600) as mine,
        await connect(database_url, max_size=1) as database,
        open_runner(replace(mine.app, database=database), instrumentation=requests) as runner,
    ):
        await poll_all(runner, None, lambda _batch: None)  # obtains the tokens
        await database.execute("DELETE FROM org_snapshots")  # the slots to poll may be the same
        now = await queue_slots(database, TEN_MINUTES)
        queue = JobQueue(database, uuid.uuid4())
        writer: BatchWriter[Any] = BatchWriter(lambda _: asyncio.sleep(0))
        dispatcher = Dispatcher(
            runner, queue, writer, now=lambda: now + TEN_MINUTES, jitter=lambda: 0.0, max_concurrent_polls=32
        )
        async with database.connection() as connection:
            connection.add_query_logger(lambda statement: statements.append(statement.query))  # type: ignore[attr-defined]
        requests.sent_after.clear()
        async with writer, asyncio.TaskGroup() as tasks:
            jobs = await queue.claim_polls(POLL, ORGS, {"sim-us": ORGS, "sim-eu": ORGS})
            await dispatcher.start(jobs, tasks, dispatcher.cancellations)
    assert len(jobs) == ORGS
    assert len(requests.sent_after) == 10 * ORGS
    assert requests.sent_after[0] == len(statements) == 3, statements
