"""The audit log in the database. A trigger keeps its rows for a year and refuses every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.audit import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.callers import Caller
    from poller.store.database import Database
    from poller.store.queries import Queries

KEPT_DAYS: Final = 366
"""A day longer than the trigger refuses to delete."""
_BATCH: Final = 10_000


async def insert_entry(
    queries: Queries, caller: Caller, action: str, org_id: int | None, detail: Mapping[str, object] | None
) -> None:
    """Writes one row; of `seen`, one per caller, org and day."""
    # audit.insert
    await queries.execute(
        """
        INSERT INTO audit (key_id, caller, source, action, org_id, detail) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        """,
        caller.key_id,
        caller.name,
        caller.source,
        action,
        org_id,
        detail,
    )


async def insert_entries(
    queries: Queries, caller: Caller, action: str, org_ids: Sequence[int], detail: Mapping[str, object] | None
) -> None:
    """Writes a row for each org."""
    # audit.insert_each
    await queries.execute(
        """
        INSERT INTO audit (key_id, caller, source, action, org_id, detail)
        SELECT $1, $2, $3, $4, org_id, $6 FROM unnest($5::int[]) AS org_id
        """,
        caller.key_id,
        caller.name,
        caller.source,
        action,
        list(org_ids),
        detail,
    )


async def list_entries(
    queries: Queries,
    since: datetime,
    *,
    visible_tags: Sequence[str] | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[AuditEntry]:
    """The entries since a time, the newest first. `before`: only those with a smaller id, for the next page.

    With `visible_tags`, only entries about an org with one of these tags.
    """
    # audit.list
    rows = await queries.fetch(
        """
        SELECT a.id, a.at, a.key_id, a.caller, a.source, a.action, a.org_id, o.name AS org, a.detail
        FROM audit a LEFT JOIN orgs o ON o.id = a.org_id
        WHERE a.at >= $1 AND ($2::text[] IS NULL OR o.tags && $2) AND ($3::bigint IS NULL OR a.id < $3)
        ORDER BY a.id DESC LIMIT $4
        """,
        since,
        visible_tags,
        before,
        limit,
    )
    return [AuditEntry(*row) for row in rows]


async def operations_on(queries: Queries, org_id: int, since: datetime, limit: int) -> list[AuditEntry]:
    """Who polled, paused or resumed the org since a time, the newest first."""
    # audit.operations
    rows = await queries.fetch(
        """
        SELECT a.id, a.at, a.key_id, a.caller, a.source, a.action, a.org_id, o.name AS org, a.detail
        FROM audit a JOIN orgs o ON o.id = a.org_id
        WHERE a.org_id = $1 AND a.at >= $2 AND a.action IN ('poll', 'pause', 'resume')
        ORDER BY a.at DESC, a.id DESC LIMIT $3
        """,
        org_id,
        since,
        limit,
    )
    return [AuditEntry(*row) for row in rows]


async def refused_log_ins(queries: Queries, since: datetime) -> list[tuple[str, int, datetime]]:
    """By source: how many log-ins were refused since a time, and when the last one was; the latest first."""
    # audit.refused
    rows = await queries.fetch(
        """
        SELECT source, sum(coalesce((detail ->> 'count')::int, 1))::int AS refused, max(at) AS last_at FROM audit
        WHERE action = 'log_in_refused' AND at >= $1 GROUP BY source ORDER BY last_at DESC LIMIT 20
        """,
        since,
    )
    return [(row["source"], row["refused"], row["last_at"]) for row in rows]


async def delete_expired_entries(database: Database) -> int:
    """Deletes rows that are older than a year, at most some thousands; returns how many."""
    # audit.expire
    status = await database.execute(
        """
        DELETE FROM audit WHERE id IN (
            SELECT id FROM audit WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2)
        """,
        KEPT_DAYS,
        _BATCH,
    )
    return int(status.rpartition(" ")[2])
