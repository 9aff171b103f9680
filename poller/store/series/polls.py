"""Reads the polls of one org, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.series.templates import per_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries, Row


async def read_polls(
    database: Queries,
    org_id: int,
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int,
) -> Sequence[Row]:
    """Returns the polls of slots in `[since, before)`; None: without that bound."""
    return await database.fetch(_POLLS, org_id, since, before, limit)


# polls.read: the bounds let PostgreSQL skip months.
_POLLS: Final = f"""
SELECT slot, polled_at, outcome, error, errors, late_seconds, requests, duration_ms, credits_remaining,
       {per_count("<column>", ", ")}
FROM org_snapshots
WHERE org_id = $1 AND slot >= coalesce($2::timestamptz, '-infinity') AND slot < coalesce($3::timestamptz, 'infinity')
ORDER BY slot DESC LIMIT $4
"""  # noqa: S608 - names of the model
