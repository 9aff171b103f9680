from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from poller.core.model import Outcome, Snapshot
from poller.polling.batch_writer import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def snapshot(org_id: int) -> Snapshot:
    return Snapshot(org_id=org_id, slot=NOON, polled_at=NOON, outcome=Outcome.OK)


async def test_closing_the_writer_writes_the_remaining_snapshots_in_order() -> None:
    written: list[int] = []

    async def write(batch: Sequence[Snapshot]) -> None:
        written.extend(one.org_id for one in batch)

    async with BatchWriter(write, rows=10, age_seconds=60) as sink:
        for org_id in range(25):
            await sink.put(snapshot(org_id))

    assert written == list(range(25))


async def test_a_snapshot_is_reported_only_after_its_batch_is_committed() -> None:
    events: list[str] = []

    async def write(batch: Sequence[Snapshot]) -> None:
        events.append(f"begin {len(batch)}")
        await asyncio.sleep(0)
        events.append(f"commit {len(batch)}")

    async with BatchWriter(write, committed=lambda batch: events.append(f"told {len(batch)}"), rows=2) as sink:
        await sink.put(snapshot(1))
        await sink.put(snapshot(2))

    assert events == ["begin 2", "commit 2", "told 2"]


async def test_a_single_snapshot_is_written_after_the_maximum_age() -> None:
    told = asyncio.Event()

    async def write(batch: Sequence[Snapshot]) -> None:
        assert len(batch) == 1

    async with BatchWriter(write, committed=lambda _: told.set(), rows=1_000, age_seconds=0.01) as sink:
        await sink.put(snapshot(1))
        await asyncio.wait_for(told.wait(), timeout=5)


async def test_a_slow_store_makes_polls_wait_instead_of_filling_memory() -> None:
    may_write = asyncio.Event()
    put = 0

    async def write(batch: Sequence[Snapshot]) -> None:
        await may_write.wait()

    async def put_many(sink: BatchWriter[Snapshot]) -> None:
        nonlocal put
        for org_id in range(1_000):
            await sink.put(snapshot(org_id))
            put += 1

    async with BatchWriter(write, rows=10, age_seconds=60) as sink, asyncio.TaskGroup() as tasks:
        tasks.create_task(put_many(sink))
        for _ in range(200):
            await asyncio.sleep(0)
        held_back_at = put
        may_write.set()

    assert held_back_at <= 80  # four batches on their way, four waiting
    assert put == 1_000


async def test_an_error_of_the_store_is_raised_to_the_polls_and_leaves_none_waiting() -> None:
    async def write(batch: Sequence[Snapshot]) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        async with BatchWriter(write, rows=1) as sink:
            for org_id in range(100):
                await sink.put(snapshot(org_id))
                await asyncio.sleep(0)


async def test_a_snapshot_stays_in_the_writer_until_it_is_committed() -> None:
    writing, may_commit = asyncio.Event(), asyncio.Event()
    seconds = [100.0]
    seen: list[tuple[int, float]] = []

    async def write(batch: Sequence[Snapshot]) -> None:
        writing.set()
        await may_commit.wait()

    def look() -> None:
        seen.append((sink.depth, sink.oldest_seconds))

    async with BatchWriter(write, rows=2, age_seconds=60, clock=lambda: seconds[0]) as sink:
        look()
        await sink.put(snapshot(1))
        seconds[0] = 103.0
        await sink.put(snapshot(2))
        await writing.wait()
        await sink.put(snapshot(3))
        seconds[0] = 105.0
        look()
        may_commit.set()
        for _ in range(20):
            await asyncio.sleep(0)
        look()
    look()
    assert seen == [(0, 0.0), (3, 5.0), (1, 2.0), (0, 0.0)]
