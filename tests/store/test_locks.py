"""Only the role of the poller can hold a lock of the poller."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.errors import LockedError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.schedule import advance
from poller.store.access.roles import grant_readers
from poller.store.database import connect
from poller.store.locks import Lock, lock, lock_days_exclusive, lock_days_shared, try_lock
from poller.store.orgs.imports import import_orgs
from poller.store.queue.schedules import enqueue_due_slots
from poller.store.series.partitions import drop_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests.postgres import LOCKS_LEFT, run_on
from tests.store.fleet import entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.model import Org
    from poller.core.schedule import Advance, Cursor
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
MINUTE = timedelta(minutes=1)
OLD_WORKER = """
INSERT INTO workers (id, name, version, started_at, seen_at, facts)
VALUES (gen_random_uuid(), 'old', '0.0.9', now(), now(), '{}')
"""


@pytest.fixture
async def guest(server_dsn: str, database: Database, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a login that is a guest and nothing else."""
    await grant_readers(database)
    name = f"guest_{uuid.uuid4().hex}"
    await run_on(server_dsn, f"CREATE ROLE {name} LOGIN IN ROLE poller_guest")
    try:
        connection = await asyncpg.connect(database_url, user=name)
        yield connection
        await connection.close()
    finally:
        await run_on(server_dsn, f"DROP ROLE {name}")


def by_minute(org: Org, cursor: Cursor | None, now: datetime) -> Advance:
    return advance(org.id, 60, cursor, now, MINUTE)


async def everything(database: Database, keyring: Keyring) -> None:
    """Runs every operation that takes a lock: import, schedule, write into a new month, roll up, drop a month."""
    await import_orgs(database, keyring, [entry("one")])
    assert (await enqueue_due_slots(database, by_minute, NOW, MINUTE, interval_seconds=60)).alone
    org_id = await database.fetchval("SELECT id FROM orgs")
    old = NOW - timedelta(days=400)
    counts = dict.fromkeys(USER_TYPES, 5)
    await database.execute("UPDATE rollup_state SET rolled_until = $1", old.date())
    await write_snapshots(database, [Snapshot(org_id, slot, slot, Outcome.OK, counts=counts) for slot in (old, NOW)])
    await roll_up(database, NOW.date())
    assert len(await drop_partitions(database, NOW - timedelta(days=300))) == 1


async def test_a_guest_that_takes_every_advisory_lock_blocks_nothing(
    database: Database, guest: asyncpg.Connection, keyring: Keyring
) -> None:
    for name in (b"days", b"slots", b"months", b"packing", b"poller"):
        await guest.execute("SELECT pg_advisory_lock($1)", int.from_bytes(name))
    await guest.execute("SELECT pg_advisory_lock(hashtext('poller.import_orgs'))")
    async with asyncio.timeout(60):
        await everything(database, keyring)


@pytest.mark.parametrize(
    "statement",
    [
        "LOCK TABLE poller_locks IN ACCESS SHARE MODE",
        "LOCK TABLE poller_locks IN ROW EXCLUSIVE MODE",
        "SELECT * FROM poller_locks FOR SHARE",
        "SELECT * FROM poller_locks",
    ],
)
async def test_a_guest_cannot_take_the_locks_of_the_poller(guest: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with guest.transaction():
            await guest.execute(statement)


async def test_a_guest_that_reads_everything_in_an_open_transaction_blocks_no_write_or_rollup(
    database: Database, guest: asyncpg.Connection, keyring: Keyring
) -> None:
    async with guest.transaction(isolation="repeatable_read"):
        for relation in ("org_snapshots", "user_counts", "latest_user_counts", "daily_user_counts", "poll_gaps"):
            await guest.fetch(f"SELECT * FROM {relation}")
        await import_orgs(database, keyring, [entry("one")])
        org_id = await database.fetchval("SELECT id FROM orgs")
        day = NOW - timedelta(days=1)
        async with asyncio.timeout(60):
            await write_snapshots(database, [Snapshot(org_id, day, day, Outcome.UNAVAILABLE, "x")])
            await roll_up(database, NOW.date())


async def test_writers_share_the_lock_on_days_and_a_rollup_waits_for_all_of_these(database: Database) -> None:
    async with database.transaction() as one, database.transaction() as two:
        await lock_days_shared(one)
        async with asyncio.timeout(60):
            await lock_days_shared(two)
        async with database.transaction() as rollup:
            await rollup.execute("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await rollup.execute("LOCK TABLE poller_locks IN SHARE ROW EXCLUSIVE MODE")


async def test_a_writer_waits_for_a_rollup_and_no_row_lock_blocks_either(database: Database) -> None:
    async with database.transaction() as rows, database.transaction() as rollup:
        await lock(rows, Lock.MONTHS)
        async with asyncio.timeout(60):
            await lock_days_exclusive(rollup)
        async with database.transaction() as writer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await lock_days_shared(writer)


async def test_each_row_of_the_lock_table_is_a_separate_lock(database: Database) -> None:
    async with database.transaction() as one, database.transaction() as two:
        assert await try_lock(one, Lock.SLOTS)
        assert not await try_lock(two, Lock.SLOTS)
        assert await try_lock(two, Lock.MONTHS)


async def test_a_lock_ends_with_its_transaction_and_leaves_no_changed_setting(database: Database) -> None:
    async with database.connection() as connection:
        before = await connection.fetchval("SHOW lock_timeout")
        async with connection.transaction():
            await lock(connection, Lock.MONTHS)
            await lock_days_exclusive(connection)
            assert await connection.fetchval("SHOW lock_timeout") == before
            assert await connection.fetchval(LOCKS_LEFT) > 0
        assert await connection.fetchval("SHOW lock_timeout") == before
        assert await connection.fetchval(LOCKS_LEFT) == 0


@pytest.mark.parametrize(("old", "waits"), [(True, True), (False, False)])
async def test_the_advisory_lock_of_a_worker_of_the_previous_release_is_respected(
    database: Database, database_url: str, *, old: bool, waits: bool
) -> None:
    if old:
        await database.execute(OLD_WORKER)
    writer_of_old = await asyncpg.connect(database_url)
    async with writer_of_old.transaction():
        await writer_of_old.execute("SELECT pg_advisory_xact_lock_shared($1)", int.from_bytes(b"days"))
        await writer_of_old.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(b"slots"))
        async with database.transaction() as connection:
            assert await try_lock(connection, Lock.SLOTS) is not waits
        rolling_up = asyncio.ensure_future(_lock_days(database))
        done, _ = await asyncio.wait({rolling_up}, timeout=0.5)
        assert bool(done) is not waits
    await rolling_up
    await writer_of_old.close()


async def test_waiting_for_a_lock_ends_after_a_limit_and_does_not_blame_postgresql(
    database: Database, database_url: str
) -> None:
    async with await connect(database_url) as other, other.transaction() as holder:
        await lock(holder, Lock.IMPORTS)
        with pytest.raises(LockedError, match="another session holds a lock for too long"):
            async with database.transaction() as connection:
                await lock(connection, Lock.IMPORTS)


async def _lock_days(database: Database) -> None:
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
