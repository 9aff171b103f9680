"""The index rebuild frees the space that page splits left in the keys of months, and changes nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.errors import DatabaseError, LockedError
from poller.core.model import COLUMNS
from poller.store.series.partitions import add_partitions
from poller.store.series.reindex import compact_indexes
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from poller.store.database import Database

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
MONTHS = ["org_snapshots_2026_10", "org_snapshots_2026_11"]


@pytest.fixture
async def sparse(database: Database) -> Database:
    """Two months of a fleet, written in the order of its polls."""
    async with database.connection() as connection:
        await add_partitions(connection, [OCTOBER, NOVEMBER])
        for month in (OCTOBER, NOVEMBER):
            for hours in range(120):
                await connection.execute(
                    f"INSERT INTO org_snapshots (slot, org_id, duration_ms, late_seconds, requests, outcome,"
                    f" {', '.join(COLUMNS.values())})"
                    f" SELECT $1::timestamptz + make_interval(hours => $2), n, 0, 0, 0, 'ok'{', n' * 10}"
                    " FROM generate_series(1, 200) AS n",
                    month,
                    hours,
                )
    return database


async def pages(database: Database) -> list[int]:
    return [
        await database.fetchval("SELECT pg_relation_size($1::text::regclass) / 8192", f"{month}_pkey")
        for month in MONTHS
    ]


async def indexes(database: Database) -> list[tuple[str, bool]]:
    rows = await database.fetch(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = $1::text::regclass ORDER BY 1",
        MONTHS[0],
    )
    return [tuple(row) for row in rows]


async def test_the_index_of_a_finished_month_is_rebuilt_full_and_of_a_growing_one_with_a_tenth_free(
    sparse: Database,
) -> None:
    (october, november), before = await pages(sparse), await indexes(sparse)
    assert await compact_indexes(sparse, NOVEMBER) == MONTHS
    tight, roomy = await pages(sparse)
    # 24,000 entries, 291 to a page, and some pages above them.
    assert tight < 24_000 / 291 + 4 < 0.8 * october
    assert 24_000 / 291 / 0.92 < roomy < 24_000 / 291 / 0.88 + 4 < 0.9 * november
    assert await indexes(sparse) == before


async def test_the_index_of_a_growing_month_is_rebuilt_when_it_is_a_third_too_large(sparse: Database) -> None:
    assert await compact_indexes(sparse, NOVEMBER) == MONTHS
    columns = ", ".join(COLUMNS.values())
    packed_after = []
    for hours in range(120, 240):
        await sparse.execute(
            f"INSERT INTO org_snapshots (slot, org_id, duration_ms, late_seconds, requests, outcome, {columns})"
            f" SELECT $1::timestamptz + make_interval(hours => $2), n, 0, 0, 0, 'ok'{', n' * 10}"
            " FROM generate_series(1, 200) AS n",
            NOVEMBER,
            hours,
        )
        if hours % 12 == 0:
            await sparse.execute(f"ANALYZE {MONTHS[1]}")
            packed_after += [hours] * len(await compact_indexes(sparse, NOVEMBER))
    assert packed_after
    assert all(later - earlier >= 24 for earlier, later in pairwise([120, *packed_after]))


async def test_a_rebuilt_index_is_rebuilt_again_only_after_late_rows_made_it_sparse(sparse: Database) -> None:
    assert await compact_indexes(sparse, DECEMBER) == MONTHS
    assert await compact_indexes(sparse, DECEMBER) == []
    columns = ", ".join(COLUMNS.values())
    await sparse.execute(
        f"INSERT INTO org_snapshots_2026_10 (slot, org_id, duration_ms, late_seconds, requests, outcome, {columns})"
        f" SELECT slot + interval '30 minutes', org_id, 0, 0, 0, 'ok', {columns} FROM org_snapshots_2026_10"
        " WHERE slot < '2026-10-04' ORDER BY slot"
    )
    await sparse.execute("ANALYZE org_snapshots")
    assert await compact_indexes(sparse, DECEMBER) == MONTHS[:1]


async def test_leftovers_of_an_aborted_index_rebuild_are_removed(sparse: Database) -> None:
    before = await indexes(sparse)
    async with sparse.connection() as connection:
        # As a REINDEX that is killed leaves it: an index that is not valid, under the name it gives.
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                "CREATE UNIQUE INDEX CONCURRENTLY org_snapshots_2026_10_pkey_ccnew ON org_snapshots_2026_10 (org_id)"
            )
    assert ("org_snapshots_2026_10_pkey_ccnew", False) in await indexes(sparse)
    await compact_indexes(sparse, DECEMBER)
    assert await indexes(sparse) == before


async def test_only_one_process_rebuilds_indexes_at_a_time(sparse: Database) -> None:
    async with sparse.transaction() as writer:
        # The first waits for this writer before it builds anything.
        await writer.execute("UPDATE org_snapshots_2026_10 SET requests = 1 WHERE org_id = 1")
        first = asyncio.ensure_future(compact_indexes(sparse, DECEMBER))
        await eventually(
            lambda: sparse.fetchval("SELECT bool_or(current_locker_pid > 0) FROM pg_stat_progress_create_index")
        )
        assert await compact_indexes(sparse, DECEMBER) == MONTHS[1:]
    assert await first == MONTHS[:1]


async def test_an_open_transaction_of_a_reader_ends_the_index_rebuild_and_the_reader_is_named(sparse: Database) -> None:
    async with sparse.connection() as reader, reader.transaction(isolation="repeatable_read"):
        pid = await reader.fetchval("SELECT pg_backend_pid() FROM org_snapshots")
        with pytest.raises(LockedError, match=f"the index of {MONTHS[0]} cannot be rebuilt: process {pid} of role"):
            await compact_indexes(sparse, DECEMBER)
    assert await compact_indexes(sparse, DECEMBER) == MONTHS


async def test_a_rebuilt_primary_key_still_enforces_unique_slots(sparse: Database) -> None:
    await compact_indexes(sparse, DECEMBER)
    with pytest.raises(DatabaseError, match="duplicate key"):
        await sparse.execute("INSERT INTO org_snapshots_2026_10 SELECT * FROM org_snapshots_2026_10 LIMIT 1")
