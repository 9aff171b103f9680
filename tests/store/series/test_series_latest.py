"""Latest counts agree with the snapshots at any time, after any sequence of polls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings, strategies as st

from poller.core.model import COLUMNS, Outcome, Snapshot
from tests.store.series.history import (
    MANY,
    forget_everything,
    joined,
    latest_of,
    rows_of,
    shown_latest,
    snapshots,
    write_snapshots,
)
from tests.store.series.read_back import read_snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database

BATCHES = st.lists(st.lists(snapshots(), max_size=12), max_size=6)


@MANY
@given(BATCHES)
async def test_latest_counts_agree_with_the_snapshots_after_every_batch(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    for batch in batches:
        await write_snapshots(database, batch, new=len(batch) % 2 == 1)
        assert await shown_latest(database) == latest_of(await rows_of(database))


@MANY
@given(BATCHES)
async def test_a_snapshot_row_is_the_merged_result_of_its_polls_in_order(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    expected: dict[tuple[int, datetime], Snapshot] = {}
    for batch in batches:
        await write_snapshots(database, batch, new=len(batch) % 2 == 1)
        for one in batch:
            key = (one.org_id, one.slot)
            expected[key] = joined(expected[key], one) if key in expected else one
    for (org_id, slot), snapshot in expected.items():
        found = await read_snapshot(database, org_id, slot)
        assert found is not None
        assert replace(found, errors={}) == replace(snapshot, errors={})
        if snapshot.outcome is Outcome.PARTIAL:
            assert found.errors == snapshot.errors
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == len(expected)
    assert await database.fetchval("SELECT count(*) FROM user_counts") == 10 * len(expected)


@MANY
@given(BATCHES)
async def test_writing_the_same_snapshots_again_changes_no_row(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    """As a sink does that never heard that its batch was committed; but for requests, where polls overlap."""
    await forget_everything(database)
    for batch in batches:
        await write_snapshots(database, batch, new=len(batch) % 2 == 1)
        before = await known_of(database)
        await write_snapshots(database, batch, new=len(batch) % 2 == 1)
        assert await known_of(database) == before


@settings(MANY, max_examples=25)
@given(st.lists(st.lists(snapshots(), min_size=1, max_size=8), min_size=2, max_size=8))
async def test_readers_see_latest_counts_agree_with_snapshots_during_writes(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write_snapshots(database, batch, new=len(batch) % 2 == 1)) for batch in batches]
        while not all(writer.done() for writer in writers):
            async with database.connection() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
                assert await shown_latest(reader) == latest_of(await rows_of(reader))
    assert await shown_latest(database) == latest_of(await rows_of(database))


async def known_of(database: Database) -> list[Any]:
    columns = ", ".join(COLUMNS.values())
    return await database.fetch(
        f"SELECT org_id, slot, polled_at, outcome, error, errors, {columns} FROM org_snapshots ORDER BY org_id, slot"
    )
