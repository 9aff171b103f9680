"""What is latest agrees with the rows it was taken from: at every moment, after any sequence of polls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings, strategies as st

from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType
from poller.store.snapshots import read_snapshot, write_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from poller.store.database import Database

START = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
SLOTS = [START + timedelta(minutes=15 * number) for number in range(5)]
FAILURES = [Outcome.THROTTLED, Outcome.UNAUTHORIZED, Outcome.UNAVAILABLE, Outcome.MALFORMED]
CODES = st.sampled_from(["timeout", "INVALID_TOKEN", "NO_PERMISSION"])
MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Any poll of a few orgs and slots across the end of a month: late, again, partly known, failed or missed."""
    slot = draw(st.sampled_from(SLOTS))
    made = Snapshot(draw(st.integers(1, 3)), slot, slot + timedelta(minutes=draw(st.integers(0, 14))), Outcome.OK)
    known = draw(st.sampled_from(["all", "some", "some", "none", "never asked"]))
    if known == "never asked":
        return replace(made, polled_at=None, outcome=Outcome.MISSED, error="no_worker")
    if known == "none":
        return replace(made, outcome=draw(st.sampled_from(FAILURES)), error=draw(CODES), requests=3)
    kinds = USER_TYPES if known == "all" else draw(st.sets(st.sampled_from(USER_TYPES), min_size=1, max_size=9))
    counts = {kind: draw(st.integers(0, 99)) for kind in kinds}
    if known == "all":
        return replace(made, counts=counts, requests=10)
    code = draw(CODES)
    errors = {kind: code for kind in USER_TYPES if kind not in counts}
    return replace(made, outcome=Outcome.PARTIAL, error=code, errors=errors, counts=counts, requests=10)


BATCHES = st.lists(st.lists(snapshots(), max_size=12), max_size=6)


@MANY
@given(BATCHES)
async def test_latest_agrees_with_the_rows_after_every_batch(database: Database, batches: list[list[Snapshot]]) -> None:
    await forget_everything(database)
    for batch in batches:
        await write_snapshots(database, batch)
        assert await shown(database) == recomputed(await rows_of(database))


@MANY
@given(BATCHES)
async def test_a_row_is_what_its_polls_come_to_one_after_the_other(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    expected: dict[tuple[int, datetime], Snapshot] = {}
    for batch in batches:
        await write_snapshots(database, batch)
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
async def test_writing_everything_again_changes_no_row(database: Database, batches: list[list[Snapshot]]) -> None:
    """As a sink does that never heard that its batch was committed; but for requests, where polls overlap."""
    await forget_everything(database)
    for batch in batches:
        await write_snapshots(database, batch)
        before = await known_of(database)
        await write_snapshots(database, batch)
        assert await known_of(database) == before


@settings(MANY, max_examples=25)
@given(st.lists(st.lists(snapshots(), min_size=1, max_size=8), min_size=2, max_size=8))
async def test_whoever_reads_while_others_write_sees_latest_agree_with_the_rows(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write_snapshots(database, batch)) for batch in batches]
        while not all(writer.done() for writer in writers):
            async with database.connection() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
                assert await shown(reader) == recomputed(await rows_of(reader))
    assert await shown(database) == recomputed(await rows_of(database))


def joined(held: Snapshot, new: Snapshot) -> Snapshot:
    """The rules of `write_snapshots` once more, as plainly as they can be said."""
    newer = new.polled_at is not None and (held.polled_at is None or new.polled_at >= held.polled_at)
    same = new.polled_at == held.polled_at
    requests = max(held.requests, new.requests) if same else held.requests + new.requests
    rank = {Outcome.OK: 3, Outcome.PARTIAL: 2, Outcome.MISSED: 0}
    new_rank, held_rank = rank.get(new.outcome, 1), rank.get(held.outcome, 1)
    winner = new if new_rank > held_rank or (new_rank == held_rank and newer) else held
    if new.outcome is not Outcome.PARTIAL or held.outcome is not Outcome.PARTIAL:
        return replace(winner, requests=requests)
    loser = held if winner is new else new
    counts = {**loser.counts, **winner.counts}
    errors = {**loser.errors, **winner.errors}
    still_unknown = {kind: code for kind, code in errors.items() if kind not in counts}
    return replace(winner, requests=requests, counts=counts, errors=still_unknown)


def recomputed(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, UserType], tuple[datetime, datetime, int]]:
    """Every org's and type's last known count, by looking through all rows."""
    found: dict[tuple[int, UserType], tuple[datetime, datetime, int]] = {}
    for row in sorted(rows, key=lambda row: row["slot"]):
        for kind, column in COLUMNS.items():
            if row[column] is not None:
                found[row["org_id"], kind] = (row["slot"], row["polled_at"], row[column])
    return found


async def shown(database: Any) -> dict[tuple[int, UserType], tuple[datetime, datetime, int]]:
    rows = await database.fetch("SELECT org_id, user_type, slot, polled_at, count FROM latest_user_counts")
    return {(row[0], UserType(row[1])): tuple(row[2:]) for row in rows}


async def rows_of(database: Any) -> list[Any]:
    return list(await database.fetch("SELECT * FROM org_snapshots"))


async def known_of(database: Database) -> list[Any]:
    columns = ", ".join(COLUMNS.values())
    return await database.fetch(
        f"SELECT org_id, slot, polled_at, outcome, error, errors, {columns} FROM org_snapshots ORDER BY org_id, slot"
    )


async def forget_everything(database: Database) -> None:
    await database.execute("TRUNCATE org_snapshots, latest_snapshots")
