"""Reads back what the store wrote: one snapshot, and how far the rollups are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType

if TYPE_CHECKING:
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.queries import Row


async def read_snapshot(database: Database, org_id: int, slot: datetime) -> Snapshot | None:
    """The snapshot of one org's slot; None if the slot has no row."""
    row = await database.fetchrow("SELECT * FROM org_snapshots WHERE org_id = $1 AND slot = $2", org_id, slot)
    return None if row is None else _snapshot_of(row)


@dataclass(frozen=True, slots=True)
class RollupState:
    """Days before `rolled_until` (UTC) are rolled up, except `dirty` days of orgs."""

    rolled_until: date
    dirty: int


async def rollup_state(database: Database) -> RollupState:
    """How far the rollups are."""
    (row,) = await database.fetch(
        "SELECT rolled_until, (SELECT count(*) FROM dirty_days WHERE day < rolled_until) AS dirty FROM rollup_state"
    )
    return RollupState(row["rolled_until"], row["dirty"])


def _snapshot_of(row: Row) -> Snapshot:
    counts = {kind: row[column] for kind, column in COLUMNS.items() if row[column] is not None}
    unknown = {} if row["error"] is None else {kind: row["error"] for kind in USER_TYPES if kind not in counts}
    return Snapshot(
        org_id=row["org_id"],
        slot=row["slot"],
        polled_at=row["polled_at"],
        outcome=Outcome(row["outcome"]),
        error=row["error"],
        errors=unknown | {UserType(kind): code for kind, code in (row["errors"] or {}).items()},
        late_seconds=row["late_seconds"],
        requests=row["requests"],
        duration_ms=row["duration_ms"],
        credits_remaining=row["credits_remaining"],
        counts=counts,
    )
