"""Writes and reads snapshots: a batch in one transaction, which also updates the latest counts.

A known count replaces an unknown one, never the reverse: a second poll of a slot may add counts that the first did not
get, and a failure replaces only an older failure. If a monthly partition is missing, the writer creates it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson
import structlog

from poller.core.errors import ClockError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store.locks import lock_days_exclusive, lock_days_shared
from poller.store.series.partitions import add_partitions, month_of
from poller.store.series.rollups import mark_dirty
from poller.store.series.snapshot_sql import LARGEST_SMALLINT, MERGE_LATEST, WRITE, WRITE_NEW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.queries import Connection, Row

_ATTEMPTS: Final = 5
"""Attempts at one batch. It may fail because a month is missing (retention may even drop it again), because a slot
already has a row, or because of a deadlock with another batch."""
_LARGEST_INTEGER: Final = 2_147_483_647
_LONGEST_CODE: Final = 200

log = structlog.get_logger("poller.store")


async def write_snapshots(
    database: Database,
    snapshots: Sequence[Snapshot],
    *,
    new: bool = False,
    skip_purged: bool = False,
    allow_future: bool = False,
) -> None:
    """Commits all snapshots, or none and raises `DatabaseError`; writing the same ones again changes nothing.

    Raises a `ClockError` for a batch with a time later than PostgreSQL's clock, unless `allow_future` (for a generated
    history). Several snapshots of one org and slot are written in their order. Snapshots of final days are written and
    logged, but not added to the daily counts.

    Fastest with about 1,000 snapshots. `new`: the caller expects that no slot has a row, which is faster; if one has,
    that costs a second attempt and an error in PostgreSQL's log. `skip_purged`: leaves out snapshots of purged orgs.
    """
    rounds = _rounds(snapshots)
    statement = WRITE_NEW if new and len(rounds) == 1 else WRITE
    async with database.connection() as connection:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                final_days = await _write_rounds(
                    connection, rounds, statement, skip_purged=skip_purged, allow_future=allow_future
                )
            except asyncpg.UniqueViolationError:
                if statement is WRITE or attempt == _ATTEMPTS:
                    raise
                statement = WRITE
            except asyncpg.CheckViolationError as refusal:
                # PostgreSQL raises this for a missing partition too, but then without the name of a constraint.
                if refusal.constraint_name is not None or attempt == _ATTEMPTS:
                    raise
                await add_partitions(connection, sorted({month_of(one.slot) for one in snapshots}))
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == _ATTEMPTS:
                    raise
            else:
                _warn_of_final_days(final_days)
                return


def _warn_of_final_days(final_days: set[tuple[int, date]]) -> None:
    """Logs snapshots that were written too late to be in the daily counts."""
    if final_days:
        org_id, day = min(final_days)
        log.warning("snapshots.late", days=len(final_days), org_id=org_id, day=day.isoformat())


async def delete_history(connection: Connection, org_id: int) -> None:
    """Deletes every snapshot of an org and everything computed from them, within the caller's transaction."""
    await lock_days_exclusive(connection)
    for table in ("org_snapshots", "latest_snapshots", "latest_polls", "daily_counts", "dirty_days", "late_days"):
        # snapshots.delete_history
        await connection.execute(f"DELETE FROM {table} WHERE org_id = $1", org_id)  # noqa: S608 - named above


def _rounds(snapshots: Sequence[Snapshot]) -> list[list[Snapshot]]:
    """Splits snapshots into rounds with at most one per org and slot, since a statement can change a row only once.

    Sorts each round, so that two batches lock the same rows in the same order.
    """
    rounds: list[dict[tuple[int, datetime], Snapshot]] = []
    depths: dict[tuple[int, datetime], int] = {}
    for snapshot in snapshots:
        key = (snapshot.org_id, snapshot.slot)
        depth = depths[key] = depths.get(key, -1) + 1
        if depth == len(rounds):
            rounds.append({})
        rounds[depth][key] = snapshot
    return [[keyed[key] for key in sorted(keyed)] for keyed in rounds]


async def _write_rounds(
    connection: Connection, rounds: list[list[Snapshot]], statement: str, *, skip_purged: bool, allow_future: bool
) -> set[tuple[int, date]]:
    """Writes the rounds; returns the pairs of org and final day whose daily counts do not include the snapshots."""
    final_days: set[tuple[int, date]] = set()
    async with connection.transaction():
        await lock_days_shared(connection)
        # A purge takes the exclusive lock on the days: it has ended, or it starts after this transaction.
        purged = await _purged(connection, rounds) if skip_purged else set()
        for in_round in rounds:
            snapshots = [one for one in in_round if one.org_id not in purged] if purged else in_round
            if not snapshots:
                continue
            latest = -math.inf if allow_future else _latest(snapshots)
            leftover = await connection.fetch(statement, *arguments_of(snapshots), latest)
            if leftover:
                final_days.update(await _write_leftover(connection, leftover))
    return final_days


async def _purged(connection: Connection, rounds: list[list[Snapshot]]) -> set[int]:
    ids = list({one.org_id for snapshots in rounds for one in snapshots})
    return {row["id"] for row in await connection.fetch(_PURGED, ids)}


async def _write_leftover(connection: Connection, leftover: Sequence[Row]) -> list[tuple[int, date]]:
    """Does what the main statement has returned: merges latest counts, and marks days dirty."""
    if leftover[0]["leftover"] == "future":
        raise ClockError(
            f"a snapshot of {leftover[0]['slot']:%Y-%m-%d %H:%M:%S} UTC lies in the future of PostgreSQL's clock",
            "set the clocks of this machine and of PostgreSQL's by NTP",
        )
    keys = {
        task: {(row["org_id"], row["slot"]) for row in leftover if row["leftover"] == task}
        for task in ("latest", "day")
    }
    if keys["latest"]:
        await connection.execute(MERGE_LATEST, *zip(*sorted(keys["latest"]), strict=True))
    return await mark_dirty(connection, *zip(*sorted(keys["day"]), strict=True)) if keys["day"] else []


def arguments_of(snapshots: Sequence[Snapshot]) -> list[Sequence[Any]]:
    """Returns one list per column. A list of only None becomes empty, because `unnest` fills it with NULL.

    Times are sent as seconds since 1970: a float holds them to a quarter of a microsecond, and asyncpg encodes a float
    four times as fast as a datetime.
    """
    return [
        [one.slot.timestamp() for one in snapshots],
        [None if one.polled_at is None else one.polled_at.timestamp() for one in snapshots],
        [one.org_id for one in snapshots],
        [min(one.duration_ms, _LARGEST_INTEGER) for one in snapshots],
        *zip(*map(_counts_of, snapshots), strict=True),
        _sparse([min(one.late_seconds, LARGEST_SMALLINT) or None for one in snapshots]),
        [min(one.requests, LARGEST_SMALLINT) for one in snapshots],
        _sparse([None if one.outcome is Outcome.OK else one.outcome.value for one in snapshots]),
        _sparse([None if one.error is None else _storable(one.error) for one in snapshots]),
        _sparse([_errors_text(one) for one in snapshots]),
        _sparse([one.credits_remaining for one in snapshots]),
    ]


def _latest(snapshots: Sequence[Snapshot]) -> float:
    """Returns the latest time in a batch, in seconds since 1970."""
    return max(one.slot if one.polled_at is None else max(one.slot, one.polled_at) for one in snapshots).timestamp()


def _counts_of(snapshot: Snapshot) -> tuple[int | None, ...]:
    """Returns the counts in the order of the columns; if they already are, that takes a fifth of the time."""
    counts = snapshot.counts
    return tuple(counts.values()) if tuple(counts) == USER_TYPES else tuple(map(counts.get, USER_TYPES))


def _sparse(values: list[Any]) -> list[Any]:
    return [] if values.count(None) == len(values) else values


def _errors_text(snapshot: Snapshot) -> str | None:
    """Returns the errors as JSON; None if every type has the poll's own error, as in most failed polls."""
    if not snapshot.errors or (not snapshot.counts and set(snapshot.errors.values()) == {snapshot.error}):
        return None
    return orjson.dumps({user_type.value: _storable(code) for user_type, code in snapshot.errors.items()}).decode()


def _storable(code: str) -> str:
    """Returns a code that PostgreSQL can store: without NUL or invalid Unicode, and not too long."""
    return code[:_LONGEST_CODE].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


# snapshots.purged: which of these orgs no longer exist.
_PURGED: Final = """
SELECT given.id FROM unnest($1::integer[]) AS given (id)
WHERE NOT EXISTS (SELECT FROM orgs o WHERE o.id = given.id)
"""
