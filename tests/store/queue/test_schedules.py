from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from poller.core.model import Org, Outcome, Snapshot
from poller.core.policy import PollPolicy
from poller.core.schedule import Advance, Cursor, Due, Missed, advance
from poller.store.locks import Lock, lock
from poller.store.orgs.orgs import pause, remove, resume
from poller.store.orgs.poll_state import read_poll_states
from poller.store.queue.jobs import JobQueue
from poller.store.queue.schedules import POLL, RECORD_MISSED, EnqueueResult, enqueue_due_slots, read_due, read_missed
from poller.store.series.snapshots import write_snapshots
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.poll_state import PollState
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOON = datetime(2025, 11, 24, 12, tzinfo=UTC)
"""Long ago: nothing is handed out in the future of PostgreSQL's clock."""
MINUTE = timedelta(minutes=1)


def by_interval(org: Org, cursor: Cursor | None, now: datetime) -> Advance:
    return advance(org.id, org.interval_seconds, cursor, now, MINUTE)


async def handed_out(database: Database, now: datetime, *, review: bool = False, interval: int = 60) -> EnqueueResult:
    since = None if review else now
    return await enqueue_due_slots(database, by_interval, now, MINUTE, interval_seconds=interval, changed_since=since)


async def slots(
    database: Database, keyring: Keyring, due: Sequence[Due], own_jobs: Sequence[int] = ()
) -> list[PollState | None]:
    heartbeat_timeout = timedelta(seconds=30)
    return await read_poll_states(
        database, keyring, PollPolicy(60), due, own_jobs, now=NOON, heartbeat_timeout=heartbeat_timeout
    )


async def queued(database: Database, kind: str) -> list[bytes]:
    rows = await database.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = $1 AND status = 'queued' ORDER BY id", kind
    )
    return [row["payload"] for row in rows]


async def test_every_slot_is_queued_once_before_it_is_due(database: Database, keyring: Keyring) -> None:
    ids = await added(database, keyring, *(entry(f"org {number}") for number in range(5)))
    for seconds in range(0, 1_200, 15):
        assert (await handed_out(database, NOON + timedelta(seconds=seconds))).missed_ranges == 0
    due = [read_due(payload) for payload in await queued(database, POLL)]
    for org_id in ids:
        slots = [one.slot for one in due if one.org_id == org_id]
        assert slots == [slots[0] + MINUTE * number for number in range(len(slots))]
        assert len(slots) in {20, 21}
    keys = await database.fetch("SELECT dedupe_key FROM pgqueuer")
    assert {row["dedupe_key"] for row in keys} == {f"{one.org_id}:{one.slot:%Y-%m-%dT%H:%M:%SZ}" for one in due}


async def test_two_schedulers_enqueue_no_slot_twice(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("one"), entry("two"))
    await handed_out(database, NOON)
    first = await handed_out(database, NOON + MINUTE)
    second = await handed_out(database, NOON + MINUTE)
    assert first.slots == 2
    assert (second.slots, second.missed_ranges) == (0, 0)


async def test_a_scheduler_does_not_wait_while_another_one_enqueues(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("one"))
    async with database.transaction() as connection:
        await lock(connection, Lock.SLOTS)
        assert await handed_out(database, NOON) == EnqueueResult(alone=False)


async def test_a_period_without_a_poller_is_queued_to_be_recorded_as_missed(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    await handed_out(database, NOON)
    before = [read_due(payload) for payload in await queued(database, POLL)]
    await handed_out(database, NOON + timedelta(days=30))
    (missed,) = [read_missed(payload) for payload in await queued(database, RECORD_MISSED)]
    later = [read_due(payload) for payload in await queued(database, POLL)][len(before) :]
    assert missed == Missed(org_id, before[-1].slot + MINUTE, later[0].slot - MINUTE, 60)
    assert later[0].at <= NOON + timedelta(days=30) < later[0].until


async def test_a_pause_is_not_a_gap_but_slots_due_before_it_are(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    await handed_out(database, NOON)
    await pause(database, ["one"], NOON + timedelta(minutes=10))
    assert (await handed_out(database, NOON + timedelta(hours=1))).slots == 0
    (missed,) = [read_missed(payload) for payload in await queued(database, RECORD_MISSED)]
    assert missed.last < NOON + timedelta(minutes=10)
    assert await database.fetchval("SELECT count(*) FROM org_schedules") == 0

    await resume(database, ["one"], NOON + timedelta(hours=2))
    again = await handed_out(database, NOON + timedelta(hours=2))
    assert again.missed_ranges == 0
    due = [read_due(payload) for payload in await queued(database, POLL)]
    assert due[-1].org_id == org_id
    assert due[-1].at > NOON + timedelta(hours=2)


async def test_a_removed_org_gets_no_more_slots(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("one"))
    await handed_out(database, NOON)
    await remove(database, ["one"], NOON)
    assert (await handed_out(database, NOON + timedelta(hours=1))).slots == 0


async def test_a_changed_interval_takes_effect_before_the_end_of_the_old_one(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    now = datetime.now(UTC) - timedelta(minutes=20)
    await handed_out(database, now, interval=86_400)
    assert await queued(database, POLL) == []
    await database.execute("UPDATE orgs SET poll_interval_seconds = 60, updated_at = $1", now + timedelta(minutes=10))
    await handed_out(database, now + timedelta(minutes=10), interval=86_400)
    (due,) = [read_due(payload) for payload in await queued(database, POLL)]
    assert due.org_id == org_id
    assert due.interval_seconds == 60
    assert due.at > now + timedelta(minutes=10)


async def test_a_changed_default_interval_takes_effect_with_the_next_review(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("one"))
    await handed_out(database, NOON, interval=86_400)
    assert (await handed_out(database, NOON, review=True, interval=60)).slots == 1


async def test_the_states_of_slots_are_returned_in_the_order_of_the_request(
    database: Database, keyring: Keyring
) -> None:
    one, two, gone = await added(database, keyring, entry("one"), entry("two"), entry("gone"))
    await write_snapshots(database, [Snapshot(two, NOON, NOON + MINUTE, Outcome.THROTTLED, "held")])
    await pause(database, ["one"], NOON)
    await remove(database, ["gone"], NOON)
    await database.execute("UPDATE access_tokens SET cool_until = $2 WHERE org_id = $1", two, NOON + 5 * MINUTE)
    due = [Due(gone, NOON, 60), Due(two, NOON, 60), Due(one, NOON, 60)]
    removed, second, first = await slots(database, keyring, due)
    assert removed is None
    assert first is not None
    assert (first.org.id, first.active, first.known, first.polled_at) == (one, False, False, None)
    assert second is not None
    assert (second.org.id, second.active, second.known, second.busy) == (two, True, False, False)
    assert (second.polled_at, second.cool_until) == (NOON + MINUTE, NOON + 5 * MINUTE)


async def test_an_org_is_busy_while_a_live_worker_polls_another_slot(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    await handed_out(database, NOON)
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 second'")
    (job, *_) = await JobQueue(database, uuid.uuid4()).claim((POLL,), 1)
    (mine,) = await slots(database, keyring, [Due(org_id, NOON, 60)], [job.id])
    (other,) = await slots(database, keyring, [Due(org_id, NOON, 60)])
    assert mine is not None
    assert other is not None
    assert (mine.busy, other.busy) == (False, True)
    await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 seconds'")
    (silent,) = await slots(database, keyring, [Due(org_id, NOON, 60)])
    assert silent is not None
    assert not silent.busy


async def test_a_worker_claims_a_queued_slot(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("one"))
    now = datetime.now(UTC) - timedelta(minutes=5)
    await handed_out(database, now)
    await database.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 second'")
    (job,) = await JobQueue(database, uuid.uuid4()).claim((POLL,), 5)
    assert read_due(job.payload).at > now
