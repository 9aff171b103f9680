from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from poller.store.queue.jobs import JobQueue, NewJob, enqueue
from poller.store.queue.poll_claims import read_demand

if TYPE_CHECKING:
    from poller.store.database import Database

NEVER = datetime.max.replace(tzinfo=UTC)
AT_ONCE = timedelta()


def jobs(data_center: str, count: int, *, delay: timedelta = AT_ONCE) -> list[NewJob]:
    return [
        NewJob("poll", f"{data_center}:{number}", f"{data_center}:{number}".encode(), delay, data_center=data_center)
        for number in range(count)
    ]


def worker(database: Database) -> JobQueue:
    return JobQueue(database, uuid.uuid4(), heartbeat_timeout=timedelta(seconds=30))


async def claimed(queue: JobQueue, most: int, rooms: dict[str, int]) -> list[str]:
    return [job.payload.decode().partition(":")[0] for job in await queue.claim_polls("poll", most, rooms)]


async def test_the_backlog_of_a_data_centre_without_free_places_hides_no_slot_of_another(database: Database) -> None:
    await enqueue(database, jobs("us", 500))
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 minute'")
    await enqueue(database, jobs("eu", 2))
    mine, rooms = worker(database), {"us": 0, "eu": 8}
    assert (await mine.fair_share(("poll",), NEVER, AT_ONCE, rooms)).jobs == 2
    assert await claimed(mine, 50, rooms) == ["eu", "eu"]


async def test_a_worker_claims_no_more_slots_of_a_data_centre_than_it_has_free_places(database: Database) -> None:
    await enqueue(database, jobs("us", 20) + jobs("eu", 20))
    mine, rooms = worker(database), {"us": 3, "eu": 5}
    assert (await mine.fair_share(("poll",), NEVER, AT_ONCE, rooms)).jobs == 8
    found = await claimed(mine, 50, rooms)
    assert (found.count("us"), found.count("eu")) == (3, 5)
    assert len(await claimed(mine, 4, rooms)) == 4


async def test_slots_of_a_dead_worker_are_claimed_by_workers_with_free_places(database: Database) -> None:
    await enqueue(database, jobs("us", 2) + jobs("eu", 2))
    gone, mine = worker(database), worker(database)
    assert len(await claimed(gone, 50, {"us": 9, "eu": 9})) == 4
    assert await claimed(mine, 50, {"us": 9, "eu": 9}) == []
    await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 s'")
    rooms = {"us": 0, "eu": 9}
    assert (await mine.fair_share(("poll",), NEVER, AT_ONCE, rooms)).jobs == 2
    assert await claimed(mine, 50, rooms) == ["eu", "eu"]


async def test_slots_that_the_previous_release_queued_name_no_data_centre_and_are_claimed_too(
    database: Database,
) -> None:
    await enqueue(database, [NewJob("poll", "1", b"old:1", AT_ONCE)])
    assert await claimed(worker(database), 50, {"": 4, "us": 4}) == ["old"]


async def test_a_slot_that_is_not_due_yet_is_not_claimed(database: Database) -> None:
    await enqueue(database, jobs("us", 1, delay=timedelta(minutes=1)))
    mine = worker(database)
    turn = await mine.fair_share(("poll",), NEVER, AT_ONCE, {"us": 4})
    assert turn.jobs == 0
    assert turn.next_seconds is not None
    assert 50 < turn.next_seconds <= 61
    assert await claimed(mine, 50, {"us": 4}) == []


async def test_the_demand_of_a_data_centre_is_the_number_of_polls_per_second_of_its_active_orgs(
    database: Database,
) -> None:
    await database.execute(
        """
        INSERT INTO orgs (name, data_center, poll_interval_seconds, paused_at)
        VALUES ('a', 'us', NULL, NULL), ('b', 'us', 60, NULL), ('c', 'eu', 10, NULL), ('d', 'in', 10, now())
        """
    )
    assert await read_demand(database, 30) == {"us": 1 / 30 + 1 / 60, "eu": 0.1}
