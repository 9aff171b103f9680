"""A database filled under each earlier revision and upgraded loses no row, and its relations are right."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg
import pytest

from poller.core.durations import DAY_SECONDS
from poller.core.model import COLUMNS, UserType
from poller.store import database as databases, schema
from poller.store.orgs.credentials import read_credentials
from poller.store.orgs.tokens import TokenStore
from poller.store.queue.jobs import JobQueue, NewJob, enqueue
from poller.store.series.gaps import stream_gaps
from poller.store.series.partitions import ensure_partitions, list_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.trends import bucket_edges, org_trend
from tests.postgres import cloned, name_of
from tests.store.everything import DAY, HOUR, NOW, ORGS, REMOVED, SLOTS, contents, fill, insert, make_months
from tests.store.series.history import daily_of, fleet_of, latest_of, rows_of, shown_daily, shown_fleet, shown_latest
from tests.store.series.read_back import rollup_state
from tests.store.stages import earlier_revisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from tests.store.stages import Stages

TODAY: Final = NOW.date()
DROPPED_TABLES: Final = {"pgqueuer_schedules", "pgqueuer_statistics"}
"""Tables of PgQueuer that the poller never used; what a test wrote into them goes with them."""
DROPPED_COLUMNS: Final = {"pgqueuer_log": ("aggregated",)}


@pytest.fixture(scope="module", params=earlier_revisions())
def shared_upgrade(
    request: pytest.FixtureRequest, server_dsn: str, stages: Stages, keyring: Keyring
) -> Iterator[tuple[str, Any]]:
    """The address of a database filled at an earlier revision and upgraded since, and its content before the upgrade.

    The tests of a revision share it, so they only read it.
    """
    with cloned(server_dsn, stages.at(request.param)) as dsn:
        yield dsn, asyncio.run(fill_and_upgrade(dsn, request.param, keyring))


@pytest.fixture
def upgraded(server_dsn: str, shared_upgrade: tuple[str, Any]) -> Iterator[tuple[str, Any]]:
    """The address of a copy of the upgraded database, and its content before the upgrade."""
    shared, before = shared_upgrade
    with cloned(server_dsn, name_of(shared)) as dsn:
        yield dsn, before


async def fill_and_upgrade(dsn: str, revision: str, keyring: Keyring) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(dsn)
    try:
        await fill(connection, revision, keyring)
        before = await contents(connection)
    finally:
        await connection.close()
    empty = {table for table, rows in before.items() if not rows}
    assert empty <= {"shared_relations", "web_relations"}, "an upgrade of nothing shows nothing"
    await schema.upgrade(dsn)
    return before


async def test_no_row_of_any_table_is_lost_or_changed_by_an_upgrade(shared_upgrade: tuple[str, Any]) -> None:
    dsn, before = shared_upgrade
    connection = await asyncpg.connect(dsn)
    try:
        after = await contents(connection)
    finally:
        await connection.close()
    assert not after.keys() & DROPPED_TABLES
    for table, filled in before.items():
        if table in DROPPED_TABLES:
            continue
        dropped = DROPPED_COLUMNS.get(table, ())
        rows = [{column: value for column, value in row.items() if column not in dropped} for row in filled]
        columns = list(rows[0]) if rows else []
        kept = [{column: row[column] for column in columns} for row in after[table]]
        if table in {"shared_relations", "web_relations"}:
            # This table describes the schema: a revision may share more columns of a relation, never fewer.
            shared = {row["name"]: row["columns"] or "" for row in kept}
            assert all(shared[row["name"]].startswith(row["columns"] or "") for row in rows)
            continue
        missing = [row for row in rows if row not in kept]
        assert not missing, table
        # A table that describes the schema may gain rows.
        assert len(kept) == len(rows) or table in {"shared_relations", "web_relations", "dirty_days", "poller_locks"}, (
            table
        )


async def test_after_an_upgrade_every_relation_agrees_with_the_rows(upgraded: tuple[str, Any]) -> None:
    dsn, before = upgraded
    async with await databases.connect(dsn) as database:
        rows = await rows_of(database)
        assert len(rows) == len(before.get("org_snapshots", []))
        await check_relations(database, rows, before)
        if rows and "dirty_days" not in before:
            assert (await rollup_state(database)).dirty > 0, "days of before the feature wait for a rollup"
        await roll_up(database, SLOTS[-1].date() + DAY)
        assert (await rollup_state(database)).dirty == 0
        await check_relations(database, rows, before)


async def check_relations(database: Database, rows: list[Any], before: Any) -> None:
    latest = {key: value for key, value in latest_of(rows).items() if key[0] != REMOVED}
    assert await shown_latest(database) == latest
    assert await shown_daily(database) == daily_of(rows)
    assert await shown_fleet(database) == fleet_of(daily_of(rows))
    long = await database.fetch("SELECT org_id, user_type, slot, polled_at, count, outcome FROM user_counts")
    assert {tuple(row) for row in long} == {
        (row["org_id"], kind.value, row["slot"], row["polled_at"], row[column], row["outcome"])
        for row in rows
        for kind, column in COLUMNS.items()
    }
    gaps = {(row["org_id"], row["slot"]) for row in await database.fetch("SELECT org_id, slot FROM poll_gaps")}
    failed = {(row["org_id"], row["slot"]) for row in rows if row["outcome"] != "ok"}
    assert gaps >= failed
    never_polled = gaps - failed
    if "org_schedules" in before:
        cursor = before["org_schedules"][0]["slot"]
        assert never_polled >= {(1, cursor + n * HOUR) for n in range(4)} - {(r["org_id"], r["slot"]) for r in rows}
    else:
        assert never_polled == set()
    streamed = [gap async for gap in stream_gaps(database, SLOTS[0], NOW + 99 * DAY, interval_seconds=3_600)]
    assert {(gap.org_id, gap.slot) for gap in streamed} == {key for key in gaps if key[0] != REMOVED}
    edges = bucket_edges(SLOTS[0], SLOTS[-1] + HOUR, DAY_SECONDS)
    trend = {
        (point.org_id, point.user_type, point.at.date()): point.last
        async for point in org_trend(database, edges, user_types=[UserType.ACTIVE])
        if point.samples
    }
    assert trend == {
        key: day[1] for key, day in daily_of(rows).items() if key[1] is UserType.ACTIVE and key[0] != REMOVED and day[5]
    }


async def test_an_upgraded_poller_continues_with_its_credentials_tokens_and_slots(
    upgraded: tuple[str, Any], keyring: Keyring
) -> None:
    dsn, _ = upgraded
    async with await databases.connect(dsn) as database:
        for org_id in ORGS[:3]:
            credentials = await read_credentials(database, keyring, org_id)
            token = await TokenStore(database, keyring).read(org_id)
            assert credentials is not None
            assert token is not None
            assert credentials.client_secret.reveal() == f"client-secret-{org_id}"
            assert credentials.refresh_token is not None
            assert credentials.refresh_token.reveal() == f"refresh-token-{org_id}"
        months = await list_partitions(database)
        await ensure_partitions(database, NOW, NOW + 90 * DAY)
        assert len(await list_partitions(database)) > len(months)


async def test_a_parked_org_has_an_outcome_after_an_upgrade(shared_upgrade: tuple[str, Any]) -> None:
    dsn, _ = shared_upgrade
    async with await databases.connect(dsn) as database:
        rows = await database.fetch("SELECT id, parked_outcome FROM orgs ORDER BY id")
    assert {row["id"]: row["parked_outcome"] for row in rows} == {1: None, 2: "unauthorized", 3: None, 4: None}


async def test_an_upgrade_works_while_a_poller_of_the_first_version_writes(blank_database_url: str) -> None:
    await schema.upgrade(blank_database_url, "0002")
    writer = await asyncpg.connect(blank_database_url)
    try:
        await writer.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
        await make_months(writer, [NOW - DAY, NOW, NOW + DAY])
        await writer.execute("SET lock_timeout = '5s'")
        begin = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
        upgrade = asyncio.create_task(schema.upgrade(blank_database_url))
        written = 0
        while not upgrade.done() or written < 50:
            await insert(writer, 1, begin + timedelta(seconds=written), written)
            written += 1
            await asyncio.sleep(0)
        await upgrade
    finally:
        await writer.close()
    async with await databases.connect(blank_database_url) as database:
        rows = await rows_of(database)
        assert len(rows) == written
        assert await shown_daily(database) == daily_of(rows)


async def test_workers_of_the_previous_release_keep_using_the_queue_while_its_unused_parts_are_dropped(
    blank_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema.upgrade(blank_database_url, "0023")
    with monkeypatch.context() as previous_release:
        previous_release.setattr(schema, "head_revision", lambda: "0023")
        connected = await databases.connect(blank_database_url)
    async with connected as database:
        queue, handed_back = JobQueue(database, uuid4()), JobQueue(database, uuid4())
        upgrade: asyncio.Task[Any] | None = None
        done = 0
        while upgrade is None or not upgrade.done() or done < 60:
            polls = [NewJob("poll", f"{done}:{n}", b"", timedelta(0), data_center="eu") for n in range(5)]
            await enqueue(database, [*polls, NewJob("chore", f"chore:{done}", b"", timedelta(0))])
            assert len(await handed_back.claim(("chore",), 5)) == 1
            await handed_back.release_all()
            jobs = [*await queue.claim(("chore",), 5), *await queue.claim_polls("poll", 9, {"eu": 9})]
            await queue.heartbeat_jobs([job.id for job in jobs])
            await queue.finish([job.id for job in jobs])
            assert len(jobs) == 6
            done += len(jobs)
            if done == 30:
                upgrade = asyncio.create_task(schema.upgrade(blank_database_url))
        await upgrade
        assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 0
        assert await database.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'") == done
        assert await database.fetchval("SELECT to_regclass('pgqueuer_statistics')") is None
