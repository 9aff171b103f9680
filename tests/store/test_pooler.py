"""Everything works through a pooler, in session mode and in transaction mode, and leaves nothing in its sessions."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.durations import DAY_SECONDS
from poller.core.errors import DatabaseError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.imports import import_orgs
from poller.store.series.gaps import stream_gaps
from poller.store.series.partitions import drop_partitions, ensure_partitions
from poller.store.series.reindex import compact_indexes
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.store.series.trends import bucket_edges, org_trend
from tests import command
from tests.pgbouncer import needs_pgbouncer, running_pgbouncer
from tests.postgres import LOCKS_LEFT
from tests.store.fleet import entry
from tests.store.series.read_back import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
MODES = ("session", "transaction")

pytestmark = needs_pgbouncer


@pytest.fixture(params=MODES)
def pooled_url(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    """The address of a migrated, empty database through a pooler with few sessions."""
    with running_pgbouncer(database_url, pool_mode=request.param, default_pool_size=20) as dsn:
        yield dsn


async def use(database: Database, keyring: Keyring) -> None:
    """Imports, writes into new months, rolls up, reads in streams, rebuilds an index, drops a month."""
    await import_orgs(database, keyring, [entry(name) for name in ("one", "two")])
    ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]
    slots = [NOW - 400 * DAY, *(NOW - n * DAY for n in range(5))]
    await database.execute("UPDATE rollup_state SET rolled_until = $1", slots[0].date())
    counts = dict.fromkeys(USER_TYPES, 7)
    for slot in slots:
        await write_snapshots(database, [Snapshot(org_id, slot, slot, Outcome.OK, counts=counts) for org_id in ids])
    assert await roll_up(database, NOW.date()) == 2 * 5
    snapshot = await read_snapshot(database, ids[0], NOW)
    assert snapshot is not None
    assert snapshot.counts == counts
    edges = bucket_edges(NOW - 5 * DAY, NOW + DAY, DAY_SECONDS)
    assert sum([point.samples async for point in org_trend(database, edges)]) == 2 * 10 * 5
    assert [gap async for gap in stream_gaps(database, NOW - 5 * DAY, NOW, interval_seconds=86_400)] == []
    await ensure_partitions(database, NOW, NOW + 70 * DAY)
    await compact_indexes(database, NOW)
    assert len(await drop_partitions(database, NOW - 300 * DAY)) == 1


async def test_a_connection_pooler_and_its_absence_are_detected(pooled_url: str, database: Database) -> None:
    assert not database.pooled
    async with await connect(pooled_url) as pooled:
        assert pooled.pooled


async def test_every_database_operation_works_through_a_pooler(pooled_url: str, keyring: Keyring) -> None:
    async with await connect(pooled_url) as database:
        await use(database, keyring)


async def test_many_clients_with_shuffled_sessions_can_read_and_write_concurrently(
    pooled_url: str, keyring: Keyring
) -> None:
    async with await connect(pooled_url) as database:
        await import_orgs(database, keyring, [entry(f"org {n}") for n in range(40)])
        ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]

    async def client(number: int) -> None:
        async with await connect(pooled_url, max_size=2) as mine:
            for turn in range(10):
                slot = NOW - timedelta(hours=turn)
                mine_ids = ids[number::10]
                await write_snapshots(
                    mine, [Snapshot(i, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, i)) for i in mine_ids]
                )
                row = await mine.fetchrow("SELECT $1::int AS number, $2::text AS word", number, "word")
                assert row is not None
                assert tuple(row) == (number, "word")
                snapshot = await read_snapshot(mine, mine_ids[0], slot)
                assert snapshot is not None
                assert set(snapshot.counts.values()) == {mine_ids[0]}
                edges = bucket_edges(NOW - DAY, NOW, 3_600)
                trend = org_trend(mine, edges, org_ids=mine_ids[:1])
                assert {point.last async for point in trend if point.samples} <= {mine_ids[0]}

    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(client(number))
    async with await connect(pooled_url) as database:
        assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 400


@pytest.mark.parametrize("mode", MODES)
async def test_five_concurrent_migrations_through_a_pooler_all_succeed_and_leave_no_lock(
    blank_database_url: str, mode: str
) -> None:
    with running_pgbouncer(blank_database_url, pool_mode=mode) as dsn:
        environ = {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": "k1:" + "A" * 43 + "="}
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(command.run("migrate", environ=environ)) for _ in range(5)]
        assert Counter(run.result().code for run in runs) == {0: 5}, [run.result().err for run in runs]
        connection = await asyncpg.connect(blank_database_url)
        try:
            assert await connection.fetchval(LOCKS_LEFT) == 0
        finally:
            await connection.close()
        assert not (await schema.check(dsn)).behind


async def test_consecutive_commands_in_the_same_sessions_do_not_see_prepared_statements_of_each_other(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    await import_orgs(database, keyring, [entry("one")])
    with running_pgbouncer(database_url, pool_mode="transaction", default_pool_size=1) as dsn:
        environ = {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": "k1:" + "A" * 43 + "="}
        for arguments in [("trend",), ("gaps",), ("status",), ("trend",), ("gaps",), ("orgs", "list")] * 2:
            ended = await command.run(*arguments, environ=environ)
            assert ended.code == 0, (arguments, ended.err)
            assert "PostgreSQL" not in ended.err


async def test_a_lock_ends_with_the_client_that_held_it(database_url: str) -> None:
    with running_pgbouncer(database_url, pool_mode="transaction") as dsn:
        database = await connect(dsn)
        async with database.connection() as connection:
            await connection.execute("BEGIN")
            await connection.execute("SELECT FROM poller_locks WHERE name = 'months' FOR UPDATE")
            database.terminate()
        async with await connect(dsn) as another, asyncio.timeout(60):
            assert await ensure_partitions(another, NOW, NOW)


async def test_a_setting_in_the_address_that_the_pooler_refuses_is_named_with_its_remedy(database_url: str) -> None:
    with running_pgbouncer(database_url) as dsn, pytest.raises(DatabaseError, match="search_path") as caught:
        await connect(f"{dsn}&search_path=public")
    assert "ignore_startup_parameters" in str(caught.value)
