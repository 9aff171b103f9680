from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.store.queue.jobs import JobQueue, NewJob, delete_expired_log, depth, enqueue

if TYPE_CHECKING:
    from poller.store.database import Database

AT_ONCE = timedelta()
NEVER = datetime.max.replace(tzinfo=UTC)
KINDS = ("poll",)


def job(key: str, *, delay: timedelta = AT_ONCE, priority: int = 0) -> NewJob:
    return NewJob("poll", key, key.encode(), delay, priority)


def worker(database: Database, heartbeat_timeout: timedelta = timedelta(seconds=30)) -> JobQueue:
    return JobQueue(database, uuid.uuid4(), heartbeat_timeout=heartbeat_timeout)


async def test_only_one_job_per_key_exists_until_it_is_done(database: Database) -> None:
    assert await enqueue(database, [job("1:a"), job("1:b"), job("1:a")]) == 2
    assert await enqueue(database, [job("1:a"), job("1:c")]) == 1
    mine = worker(database)
    claimed = await mine.claim(KINDS, 10)
    assert [one.payload for one in claimed] == [b"1:a", b"1:b", b"1:c"]
    assert await enqueue(database, [job("1:a")]) == 0
    await mine.finish([one.id for one in claimed])
    assert await enqueue(database, [job("1:a")]) == 1


async def being_done(database: Database) -> set[int]:
    rows = await database.fetch(
        "SELECT id FROM pgqueuer WHERE status = 'picked' AND heartbeat > now() - interval '30 s'"
    )
    return {row["id"] for row in rows}


async def test_no_job_is_claimed_by_two_workers(database: Database) -> None:
    await enqueue(database, [job(str(number)) for number in range(20)])
    one, other = worker(database), worker(database)
    first, second = await one.claim(KINDS, 12), await other.claim(KINDS, 12)
    assert len(first) == 12
    assert len(second) == 8
    assert not {a.id for a in first} & {b.id for b in second}
    assert await being_done(database) == {job.id for job in first + second}


async def test_a_job_is_not_claimed_before_it_is_due_and_the_worker_knows_the_wait(database: Database) -> None:
    await enqueue(database, [job("later", delay=timedelta(hours=1)), job("soon", delay=timedelta(minutes=1))])
    mine = worker(database)
    assert await mine.claim(KINDS, 10) == []
    turn = await mine.fair_share(KINDS, NEVER, AT_ONCE)
    assert turn.jobs == 0
    assert turn.next_seconds == pytest.approx(60, abs=5)
    assert await mine.fair_share(("another",), NEVER, AT_ONCE) == (0, None)
    assert (await depth(database)).waiting == 2


async def test_jobs_of_a_dead_worker_go_to_another_and_those_of_a_live_one_do_not(database: Database) -> None:
    await enqueue(database, [job("dead"), job("living")])
    heartbeat_timeout = timedelta(seconds=30)
    gone, other = worker(database, heartbeat_timeout), worker(database, heartbeat_timeout)
    dead, living = await gone.claim(KINDS, 2)
    # What was claimed a moment ago is done by its worker, whether it knows already or not.
    await gone.heartbeat_jobs([living.id])
    assert await other.claim(KINDS, 2) == []
    await database.execute(
        "UPDATE pgqueuer SET heartbeat = now() - interval '31 seconds', updated = now() - interval '31 seconds'"
    )
    await gone.heartbeat_jobs([living.id])
    assert [one.id for one in await other.claim(KINDS, 2)] == [dead.id]
    assert await being_done(database) == {dead.id, living.id}


async def test_a_returned_job_can_be_claimed_by_any_worker_after_its_delay(database: Database) -> None:
    await enqueue(database, [job("now"), job("later")])
    mine, other = worker(database), worker(database)
    now, later = await mine.claim(KINDS, 2)
    await mine.requeue([now.id])
    await mine.requeue([later.id], timedelta(minutes=5))
    assert [one.id for one in await other.claim(KINDS, 2)] == [now.id]
    turn = await other.fair_share(KINDS, NEVER, AT_ONCE)
    assert turn.jobs == 0
    assert turn.next_seconds == pytest.approx(300, abs=5)


async def test_a_worker_that_lost_its_jobs_cannot_return_jobs_now_claimed_by_another(database: Database) -> None:
    await enqueue(database, [job("one")])
    gone, other = worker(database), worker(database)
    (held,) = await gone.claim(KINDS, 1)
    await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '1 minute'")
    await other.claim(KINDS, 1)
    await gone.requeue([held.id])
    assert await gone.claim(KINDS, 1) == []


async def test_jobs_are_enqueued_only_if_the_transaction_commits(database: Database) -> None:
    with pytest.raises(LookupError):
        async with database.transaction() as connection:
            await enqueue(connection, [job("never")])
            raise LookupError
    assert await depth(database) == (0, 0, 0, 0.0)


async def test_a_worker_that_stops_releases_all_of_its_own_jobs_and_no_others(database: Database) -> None:
    leaving, staying = worker(database), worker(database)
    await enqueue(database, [job(key) for key in "abc"])
    own = {one.payload for one in await leaving.claim(KINDS, 2)}
    (kept,) = await staying.claim(KINDS, 1)
    await leaving.release_all()
    assert {one.payload for one in await staying.claim(KINDS, 9)} == own
    await leaving.release_all()
    assert (await depth(database)).under_way == 3
    assert kept.payload not in own


async def test_jobs_with_higher_priority_are_claimed_first(database: Database) -> None:
    await enqueue(database, [job("a"), job("b", priority=1)])
    assert [one.payload for one in await worker(database).claim(KINDS, 1)] == [b"b"]


async def test_the_queue_depth_distinguishes_waiting_overdue_and_running_jobs(database: Database) -> None:
    await enqueue(database, [job("1"), job("2"), job("3", delay=timedelta(hours=1))])
    await worker(database).claim(KINDS, 1)
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '10 s' WHERE dedupe_key = '2'")
    waiting, overdue, under_way, seconds = await depth(database, "poll")
    assert (waiting, overdue, under_way) == (1, 1, 1)
    assert seconds == pytest.approx(10, abs=5)


async def test_the_log_of_jobs_is_cleared_and_the_queue_ends_empty(database: Database) -> None:
    mine = worker(database)
    for _ in range(10):
        await enqueue(database, [job(str(number)) for number in range(100)])
        await mine.finish([one.id for one in await mine.claim(KINDS, 100)])
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 0
    assert await delete_expired_log(database, datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await delete_expired_log(database, datetime.now(UTC) + timedelta(hours=1)) == 3_000
    assert await database.fetchval("SELECT count(*) FROM pgqueuer_log") == 0


def test_environment_variables_of_pgqueuer_have_no_effect() -> None:
    import os
    import subprocess
    import sys

    asked = "from poller.store.queue.statements import _NAMES as n; print(n.queue_table, n.channel, n.prefix)"
    environ = os.environ | {"QUEUE_TABLE": "theirs", "CHANNEL": "theirs", "PGQUEUER_PREFIX": "theirs"}
    said = subprocess.run([sys.executable, "-c", asked], env=environ, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["pgqueuer", "ch_pgqueuer"]
