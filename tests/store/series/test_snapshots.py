from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from poller.core.errors import DatabaseError
from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType
from poller.store.series.snapshots import delete_history
from tests.store.series.history import write_snapshots
from tests.store.series.read_back import read_snapshot

if TYPE_CHECKING:
    from poller.store.database import Database

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TEN = dict(zip(USER_TYPES, range(100, 110), strict=True))
ON_ONE_DATABASE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40, deadline=None
)


def ok(slot: datetime = NOON, *, org_id: int = 1, minutes: int = 0, plus: int = 0, **more: Any) -> Snapshot:
    counts = {kind: count + plus for kind, count in TEN.items()}
    return Snapshot(org_id, slot, slot + minutes * MINUTE, Outcome.OK, counts=counts, requests=10, **more)


def partial(*known: UserType, minutes: int = 0, plus: int = 0, code: str = "NO_PERMISSION") -> Snapshot:
    return Snapshot(
        1,
        NOON,
        NOON + minutes * MINUTE,
        Outcome.PARTIAL,
        code,
        {kind: code for kind in USER_TYPES if kind not in known},
        requests=10,
        counts={kind: TEN[kind] + plus for kind in known},
    )


def failed(minutes: int = 0, code: str = "INVALID_TOKEN") -> Snapshot:
    errors = dict.fromkeys(USER_TYPES, code)
    return Snapshot(1, NOON, NOON + minutes * MINUTE, Outcome.UNAUTHORIZED, code, errors, requests=2)


MISSED = Snapshot(1, NOON, None, Outcome.MISSED, "no_worker")


async def left_by(database: Database, *snapshots: Snapshot) -> Snapshot:
    """The row after these snapshots are written one after the other."""
    for snapshot in snapshots:
        await write_snapshots(database, [snapshot], new=True)
    row = await read_snapshot(database, snapshots[0].org_id, snapshots[0].slot)
    assert row is not None
    return row


@pytest.mark.parametrize("snapshot", [ok(), partial(UserType.ALL), failed(), MISSED], ids=lambda one: one.outcome)
async def test_a_written_snapshot_is_read_back(database: Database, snapshot: Snapshot) -> None:
    expected = {**dict.fromkeys(USER_TYPES, "no_worker")} if snapshot is MISSED else snapshot.errors
    assert await left_by(database, snapshot) == Snapshot(
        **{name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__} | {"errors": expected}
    )


async def test_a_slot_that_was_never_polled_has_no_row(database: Database) -> None:
    assert await read_snapshot(database, 1, NOON) is None


async def test_the_ten_counts_are_stored_in_their_ten_columns(database: Database) -> None:
    await write_snapshots(database, [ok()])
    row = await database.fetchrow("SELECT * FROM org_snapshots")
    assert row is not None
    assert {kind: row[column] for kind, column in COLUMNS.items()} == TEN


async def test_a_failure_never_replaces_a_known_count(database: Database) -> None:
    left = await left_by(database, ok(), failed(minutes=5))
    assert (left.outcome, left.counts, left.polled_at, left.error) == (Outcome.OK, TEN, NOON, None)


async def test_a_second_poll_turns_unknown_into_known(database: Database) -> None:
    left = await left_by(database, failed(), ok(minutes=5))
    assert (left.outcome, left.counts, left.error, left.errors) == (Outcome.OK, TEN, None, {})


async def test_known_counts_win_even_if_polled_before_a_failure_and_written_after_it(database: Database) -> None:
    left = await left_by(database, failed(minutes=5), ok(minutes=0))
    assert (left.outcome, left.polled_at) == (Outcome.OK, NOON)


async def test_the_requests_of_every_poll_of_a_slot_add_up(database: Database) -> None:
    left = await left_by(database, failed(), ok(minutes=5), failed(minutes=7))
    assert left.requests == 14


async def test_slots_already_known_do_not_affect_other_slots_of_a_batch(
    database: Database,
) -> None:
    await write_snapshots(database, [failed(), ok(org_id=2)], new=True)
    batch = [ok(org_id=3), ok(minutes=5), replace(failed(minutes=5), org_id=2)]
    await write_snapshots(database, batch, new=True)
    left = [await read_snapshot(database, org_id, NOON) for org_id in (1, 2, 3)]
    assert [one and one.outcome for one in left] == [Outcome.OK] * 3
    assert await database.fetchval("SELECT count(*) FROM latest_user_counts") == 30


async def test_writing_the_same_poll_again_changes_nothing(database: Database) -> None:
    assert await left_by(database, ok(), ok(), ok()) == ok()


async def test_the_newer_of_two_complete_polls_is_kept_in_any_order_of_writing(database: Database) -> None:
    newer_last = await left_by(database, ok(), ok(minutes=5, plus=1))
    assert newer_last.counts[UserType.ALL] == TEN[UserType.ALL] + 1
    older_last = await left_by(database, ok(minutes=2, plus=7))
    assert older_last.counts == newer_last.counts


async def test_two_partial_polls_are_merged(database: Database) -> None:
    left = await left_by(
        database,
        partial(UserType.ALL, UserType.ACTIVE, code="OLDER"),
        partial(UserType.ACTIVE, UserType.ADMIN, minutes=5, plus=1, code="NEWER"),
    )
    assert left.outcome is Outcome.PARTIAL
    assert left.counts == {
        UserType.ALL: TEN[UserType.ALL],
        UserType.ACTIVE: TEN[UserType.ACTIVE] + 1,
        UserType.ADMIN: TEN[UserType.ADMIN] + 1,
    }
    assert left.errors == {kind: "NEWER" for kind in USER_TYPES if kind not in left.counts}


async def test_two_partial_polls_are_merged_the_same_if_the_older_is_written_last(database: Database) -> None:
    older = partial(UserType.ALL, UserType.ACTIVE, code="OLDER")
    newer = partial(UserType.ACTIVE, UserType.ADMIN, minutes=5, plus=1, code="NEWER")
    forwards = await left_by(database, older, newer)
    await database.execute("DELETE FROM org_snapshots; DELETE FROM latest_snapshots")
    assert await left_by(database, newer, older) == forwards


async def test_two_merged_halves_are_not_reported_as_a_complete_poll(database: Database) -> None:
    """They were counted at different moments, and no single answer of Zoho's stands behind the ten."""
    left = await left_by(database, partial(*USER_TYPES[:5]), partial(*USER_TYPES[5:], minutes=5))
    assert (left.outcome, left.counts, left.errors) == (Outcome.PARTIAL, TEN, {})
    assert await database.fetch("SELECT * FROM poll_gaps") == []


async def test_a_flag_on_a_known_count_is_kept(database: Database) -> None:
    flagged = ok(errors={UserType.CURRENT: "current_user_is_not_1"})
    assert (await left_by(database, flagged)).errors == {UserType.CURRENT: "current_user_is_not_1"}
    error = await database.fetchval("SELECT error FROM user_counts WHERE user_type = 'CurrentUser'")
    assert error == "current_user_is_not_1"


async def test_a_newer_failure_replaces_a_failure_and_an_older_one_does_not(database: Database) -> None:
    left = await left_by(database, failed(code="FIRST"), failed(minutes=5, code="SECOND"), failed(minutes=3, code="X"))
    assert (left.error, left.polled_at) == ("SECOND", NOON + 5 * MINUTE)


@pytest.mark.parametrize("other", [ok(), partial(UserType.ALL), failed()], ids=lambda one: one.outcome)
async def test_every_outcome_replaces_missed_and_missed_replaces_none(database: Database, other: Snapshot) -> None:
    assert await left_by(database, MISSED, other) == other
    assert await left_by(database, MISSED) == other


async def test_several_polls_of_a_slot_in_one_batch_are_merged_in_order(database: Database) -> None:
    await write_snapshots(database, [failed(), ok(minutes=1), ok(org_id=2), failed(minutes=2), ok(minutes=3, plus=1)])
    left = await read_snapshot(database, 1, NOON)
    assert left is not None
    assert (left.outcome, left.counts[UserType.ALL], left.requests) == (Outcome.OK, 101, 24)


async def test_a_missing_month_is_created_by_a_write_and_no_row_is_lost(database: Database) -> None:
    slots = [datetime(2025 + month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(0, 20, 3)]
    await write_snapshots(database, [ok(slot) for slot in slots])
    rows = await database.fetch("SELECT slot, tableoid::regclass::text AS month FROM org_snapshots ORDER BY slot")
    assert [(row["slot"], row["month"]) for row in rows] == [(slot, f"org_snapshots_{slot:%Y_%m}") for slot in slots]


async def test_concurrent_writers_into_the_same_missing_months_all_succeed(database: Database) -> None:
    days = [NOON + timedelta(days=20 * number) for number in range(8)]
    async with asyncio.TaskGroup() as group:
        for org_id in range(1, 9):
            group.create_task(write_snapshots(database, [ok(day, org_id=org_id) for day in days]))
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 64


async def test_concurrent_batches_with_the_same_orgs_in_any_order_all_succeed(database: Database) -> None:
    batch = [ok(org_id=org_id) for org_id in range(1, 200)]
    async with asyncio.TaskGroup() as group:
        for minutes in range(8):
            again = [ok(one.slot, org_id=one.org_id, minutes=minutes) for one in batch]
            group.create_task(write_snapshots(database, again if minutes % 2 else again[::-1]))
    polled = await database.fetch("SELECT DISTINCT polled_at FROM latest_user_counts")
    assert [row["polled_at"] for row in polled] == [NOON + 7 * MINUTE]


async def test_no_row_of_a_batch_is_written_if_one_is_invalid(database: Database) -> None:
    pretender = Snapshot(2, NOON, NOON, Outcome.OK, counts={UserType.ALL: 1})
    with pytest.raises(DatabaseError, match="ok_knows_all_ten"):
        await write_snapshots(database, [ok(), pretender])
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 0
    assert await database.fetchval("SELECT count(*) FROM latest_snapshots") == 0


async def test_writing_an_empty_batch_does_nothing(database: Database) -> None:
    await write_snapshots(database, [])
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 0


async def test_numbers_too_large_for_their_columns_are_capped(database: Database) -> None:
    left = await left_by(database, ok(late_seconds=86_399, duration_ms=2**40))
    assert (left.late_seconds, left.duration_ms) == (32_767, 2**31 - 1)


@ON_ONE_DATABASE
@given(code=st.text(st.characters(exclude_categories=()), min_size=1, max_size=300))
async def test_no_error_code_from_outside_makes_a_batch_fail(database: Database, code: str) -> None:
    await database.execute("DELETE FROM org_snapshots; DELETE FROM latest_snapshots")
    left = await left_by(database, partial(UserType.ALL, code=code))
    assert left.error is not None
    assert set(left.errors.values()) == {left.error}
    assert len(left.error) <= 200


@ON_ONE_DATABASE
@given(polled_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
async def test_times_are_kept_to_the_microsecond(database: Database, polled_at: datetime) -> None:
    await database.execute("DELETE FROM org_snapshots; DELETE FROM latest_snapshots")
    snapshot = Snapshot(1, NOON, polled_at, Outcome.OK, counts=TEN)
    assert (await left_by(database, snapshot)).polled_at == polled_at


async def test_user_counts_has_ten_rows_per_snapshot_in_zohos_spelling(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    await write_snapshots(database, [ok(), ok(NOON + 15 * MINUTE, org_id=2)])
    await write_snapshots(database, [Snapshot(1, NOON + 15 * MINUTE, NOON, Outcome.UNAVAILABLE, "timeout")])
    rows = await database.fetch("SELECT * FROM user_counts ORDER BY org_id, slot")
    assert [row["user_type"] for row in rows] == [kind.value for kind in USER_TYPES] * 3
    assert [row["count"] for row in rows] == [*TEN.values(), *[None] * 10, *TEN.values()]
    assert {(row["org"], row["outcome"], row["error"]) for row in rows[:10]} == {("acme", "ok", None)}
    assert {(row["outcome"], row["error"]) for row in rows[10:20]} == {("unavailable", "timeout")}
    assert {row["org"] for row in rows[20:]} == {None}


async def test_a_filter_on_org_and_slot_uses_the_key_below_the_view(database: Database) -> None:
    await write_snapshots(database, [ok(NOON + minutes * MINUTE) for minutes in range(0, 60_000, 15)])
    await database.execute("ANALYZE org_snapshots")
    plan = await database.fetch(
        "EXPLAIN SELECT slot, count FROM user_counts WHERE org_id = 1 AND user_type = 'AllUsers' AND slot = $1", NOON
    )
    text = "\n".join(row[0] for row in plan)
    assert "Index Cond: ((org_id = 1) AND (slot =" in text
    assert "orgs" not in text


async def test_gaps_name_the_unknown_counts_and_the_reason(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    known = partial(*USER_TYPES[:8])
    await write_snapshots(database, [ok(NOON - 15 * MINUTE), known])
    await write_snapshots(database, [Snapshot(1, NOON + 15 * MINUTE, NOON, Outcome.UNAVAILABLE, "timeout")])
    await write_snapshots(database, [Snapshot(1, NOON + 30 * MINUTE, None, Outcome.MISSED)])
    rows = await database.fetch("SELECT * FROM poll_gaps ORDER BY slot")
    assert [(row["org"], row["slot"], row["reason"]) for row in rows] == [
        ("acme", NOON, "partial: ActiveConfirmedAdmins NO_PERMISSION, CurrentUser NO_PERMISSION"),
        ("acme", NOON + 15 * MINUTE, "unavailable: timeout"),
        ("acme", NOON + 30 * MINUTE, "missed"),
    ]


async def test_a_removed_org_keeps_its_history_and_is_not_in_the_latest_counts(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center, removed_at) VALUES ('acme', 'us', now())")
    await write_snapshots(database, [ok()])
    assert await database.fetchval("SELECT count(*) FROM user_counts WHERE org = 'acme'") == 10
    assert await database.fetchval("SELECT count(*) FROM latest_user_counts") == 0


async def test_the_history_of_one_org_can_be_deleted_without_changing_others(database: Database) -> None:
    await write_snapshots(database, [ok(), ok(org_id=2)])
    async with database.transaction() as connection:
        await delete_history(connection, 1)
    for table in ("org_snapshots", "latest_snapshots"):
        assert [row[0] for row in await database.fetch(f"SELECT org_id FROM {table}")] == [2]


async def test_a_reader_can_read_the_relations_but_no_credential(database: Database) -> None:
    await write_snapshots(database, [ok()])
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL ROLE poller_reader")
        for relation in ("org_snapshots", "user_counts", "latest_user_counts", "poll_gaps"):
            await connection.fetch(f"SELECT * FROM {relation}")
    for relation in ("org_credentials", "access_tokens", "token_budgets", "orgs", "org_snapshots_2026_11"):
        async with database.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute("SET LOCAL ROLE poller_reader")
                    await connection.fetch(f"SELECT * FROM {relation}")
