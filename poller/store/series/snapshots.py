"""Snapshots into PostgreSQL and back: a batch in one transaction, and what is latest kept up in the same.

Known beats unknown, never the reverse: a second poll of a slot may add what the first did not learn, and a failure
replaces nothing but an older failure. Nothing here decides what a poll came to, and no row is ever lost for want of a
partition.
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
"""At one batch: a month may be missing, dropped again by retention meanwhile, a row there already, and two batches may
have deadlocked."""
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
    """Commit all of them, or raise `DatabaseError` and none; writing the same ones again changes nothing.

    A batch with a time later than PostgreSQL's clock is refused by a `ClockError`, unless the caller makes up a history
    (`allow_future`).

    Fastest at about a thousand at a time, and where they are `new`: slots that nothing is known of, as far as the
    caller can tell. One that is known after all costs a second attempt, and a line in PostgreSQL's log. Several of one
    org and slot are written one after the other, in their order. Those of days that retention has closed are written
    too, and logged: no day counts them. With `skip_purged`, those of orgs that were purged meanwhile are not written: a
    purge forgets an org's whole history.
    """
    rounds = _rounds(snapshots)
    statement = WRITE_NEW if new and len(rounds) == 1 else WRITE
    async with database.connection() as connection:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                closed = await _write_rounds(
                    connection, rounds, statement, skip_purged=skip_purged, allow_future=allow_future
                )
            except asyncpg.UniqueViolationError:
                if statement is WRITE or attempt == _ATTEMPTS:
                    raise
                statement = WRITE
            except asyncpg.CheckViolationError as refusal:
                # The same error for a month that has no partition and for a broken constraint, but for the name.
                if refusal.constraint_name is not None or attempt == _ATTEMPTS:
                    raise
                await add_partitions(connection, sorted({month_of(one.slot) for one in snapshots}))
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == _ATTEMPTS:
                    raise
            else:
                if closed:
                    log.warning(
                        "snapshots.late", days=len(closed), org_id=min(closed)[0], day=min(closed)[1].isoformat()
                    )
                return


async def delete_history(connection: Connection, org_id: int) -> None:
    """Forget every snapshot of an org and all that was made of them, within the caller's transaction."""
    await lock_days_exclusive(connection)
    for table in ("org_snapshots", "latest_snapshots", "latest_polls", "daily_counts", "dirty_days", "late_days"):
        await connection.execute(f"DELETE FROM {table} WHERE org_id = $1", org_id)  # noqa: S608 - named above


def _rounds(snapshots: Sequence[Snapshot]) -> list[list[Snapshot]]:
    """Each with at most one snapshot of an org and slot: all that one statement can take.

    Sorted, so that two batches that meet the same rows lock them in the same order.
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
    """The days of orgs that are closed, and do not count what was written."""
    closed: set[tuple[int, date]] = set()
    async with connection.transaction():
        await lock_days_shared(connection)
        # A purge holds the days alone: it is over by now, or it comes after this transaction and sees these rows.
        purged = await _purged(connection, rounds) if skip_purged else set()
        for in_round in rounds:
            snapshots = [one for one in in_round if one.org_id not in purged] if purged else in_round
            if not snapshots:
                continue
            latest = -math.inf if allow_future else _latest(snapshots)
            rest = await connection.fetch(statement, *arguments_of(snapshots), latest)
            if rest:
                closed.update(await _write_rest(connection, rest))
    return closed


async def _purged(connection: Connection, rounds: list[list[Snapshot]]) -> set[int]:
    ids = list({one.org_id for snapshots in rounds for one in snapshots})
    return {row["id"] for row in await connection.fetch(_PURGED, ids)}


async def _write_rest(connection: Connection, rest: Sequence[Row]) -> list[tuple[int, date]]:
    """What the usual statement leaves over: counts to merge one by one, and days to roll up again."""
    if rest[0]["rest"] == "future":
        raise ClockError(
            f"a snapshot of {rest[0]['slot']:%Y-%m-%d %H:%M:%S} UTC lies in the future of PostgreSQL's clock",
            "set the clocks of this machine and of PostgreSQL's by NTP",
        )
    keys = {kind: {(row["org_id"], row["slot"]) for row in rest if row["rest"] == kind} for kind in ("latest", "day")}
    if keys["latest"]:
        await connection.execute(MERGE_LATEST, *zip(*sorted(keys["latest"]), strict=True))
    return await mark_dirty(connection, *zip(*sorted(keys["day"]), strict=True)) if keys["day"] else []


def arguments_of(snapshots: Sequence[Snapshot]) -> list[Sequence[Any]]:
    """One list per column. A list that would say nothing is left empty: `unnest` fills it up with NULL.

    Times travel as seconds: a float holds this century to a quarter of a microsecond, and asyncpg encodes it four
    times as fast as a datetime.
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
    """In seconds since 1970, of all their times."""
    return max(one.slot if one.polled_at is None else max(one.slot, one.polled_at) for one in snapshots).timestamp()


def _counts_of(snapshot: Snapshot) -> tuple[int | None, ...]:
    """In the order of the columns. Looking up ten types costs five times as much as seeing that all are in order."""
    counts = snapshot.counts
    return tuple(counts.values()) if tuple(counts) == USER_TYPES else tuple(map(counts.get, USER_TYPES))


def _sparse(values: list[Any]) -> list[Any]:
    return [] if values.count(None) == len(values) else values


def _errors_text(snapshot: Snapshot) -> str | None:
    """As JSON; None where every type has the poll's own error anyway, as in most polls that fail."""
    if not snapshot.errors or (not snapshot.counts and set(snapshot.errors.values()) == {snapshot.error}):
        return None
    return orjson.dumps({kind.value: _storable(code) for kind, code in snapshot.errors.items()}).decode()


def _storable(code: str) -> str:
    """What PostgreSQL can hold of a code that came from outside: no NUL, nothing UTF-8 cannot say, no novel."""
    return code[:_LONGEST_CODE].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


# Those of these orgs that were purged.
_PURGED: Final = """
SELECT given.id FROM unnest($1::integer[]) AS given (id)
WHERE NOT EXISTS (SELECT FROM orgs o WHERE o.id = given.id)
"""
