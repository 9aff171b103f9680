from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.fleet import WorkerRecord
from poller.store.database import connect
from poller.store.queue.jobs import JobQueue, NewJob, enqueue
from poller.store.queue.workers import heartbeat_worker
from tests.postgres import let_now_be

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database

KINDS = ("poll",)
MOMENT = timedelta(minutes=1)
"""Long enough that no other's turn comes while a test runs."""


@pytest.fixture
async def still(database_url: str) -> AsyncIterator[Database]:
    """A database whose time stands still: its delays do not pass while a test asks one worker after another."""
    await let_now_be(database_url, f"to_timestamp({now().timestamp()})")
    async with await connect(database_url) as opened:
        yield opened


def now() -> datetime:
    return datetime.now(UTC)


async def living(
    database: Database, many: int, *, heartbeat_timeout: timedelta = timedelta(seconds=30)
) -> list[JobQueue]:
    ids = [uuid.uuid4() for _ in range(many)]
    for one in ids:
        await heartbeat_worker(database, WorkerRecord(one, "worker", "1", now(), now(), {}))
    return [JobQueue(database, one, heartbeat_timeout=heartbeat_timeout) for one in ids]


async def due(database: Database, many: int, delay: timedelta = timedelta()) -> None:
    jobs = [NewJob("poll", str(uuid.uuid4()), b"", delay) for _ in range(many)]
    assert await enqueue(database, jobs) == many


async def turns(workers: list[JobQueue], moment: timedelta = MOMENT) -> list[int]:
    return [(await one.fair_share(KINDS, now() - timedelta(minutes=1), moment)).jobs for one in workers]


@pytest.mark.parametrize("many", [1, 3, 10])
async def test_every_worker_can_claim_its_share_of_the_jobs_first(still: Database, many: int) -> None:
    workers = await living(still, many)
    await due(still, 120)
    assert await turns(workers) == [120 // many] * many


async def test_after_the_delays_every_worker_can_claim_a_job(database: Database) -> None:
    workers = await living(database, 4)
    await due(database, 40)
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1.1 s'")
    assert await turns(workers) == [40] * 4, "however long a moment is: no more than a second in all"
    assert await turns(workers, timedelta()) == [40] * 4


async def test_dead_workers_lose_their_position_and_new_ones_have_one_before_registration(database: Database) -> None:
    workers = await living(database, 3)
    await due(database, 60)
    await database.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    assert await turns(workers) == [60] * 3, "each thinks it is alone"
    await living(database, 2)
    assert await turns(workers[:1]) == [20]


async def test_a_worker_waits_until_it_can_claim_a_job(still: Database) -> None:
    workers = await living(still, 2)
    await due(still, 1, timedelta(seconds=30))
    waits = [
        (await one.fair_share(KINDS, now() - timedelta(minutes=1), timedelta(seconds=0.4))).next_seconds
        for one in workers
    ]
    assert all(wait is not None for wait in waits)
    first, second = sorted(wait or 0.0 for wait in waits)
    assert 25 < first <= 30
    assert second - first == pytest.approx(0.4, abs=0.01)


async def test_jobs_of_a_dead_worker_can_be_claimed_by_every_worker_at_once(database: Database) -> None:
    workers = await living(database, 2)
    await due(database, 6)
    held = await workers[0].claim(KINDS, 6)
    assert await turns(workers) == [0, 0]
    await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 s'")
    assert await turns(workers) == [6, 6]
    assert len(await workers[1].claim(KINDS, 6)) == len(held)
