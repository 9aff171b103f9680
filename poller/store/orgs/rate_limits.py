"""Stores the rate limit state of each org, so that a restart or another worker continues with it.

A later save never shortens a hold; the other values are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.core.rate_limit import PAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.rate_limit import RateLimitState
    from poller.store.queries import Queries


@dataclass(frozen=True, slots=True)
class RateLimitUpdate:
    """What one poll learned of an org's limits; `credits_remaining`: as Zoho said at `at`, None if it did not."""

    org_id: int
    state: RateLimitState
    credits_remaining: int | None
    at: datetime


async def save_limits(database: Queries, updates: Sequence[RateLimitUpdate]) -> None:
    """Saves the updates, at most one per org; skips orgs that are removed or purged."""
    # rate_limits.save: many orgs at once, in the order of the key, so that two workers cannot deadlock. It locks the
    # orgs as the foreign key would, because an org could otherwise be purged before the insert refers to it.
    await database.execute(
        """
        WITH present AS (
            SELECT new.*
            FROM unnest($1::int[], $2::timestamptz[], $3::smallint[], $4::real[], $5::int[], $6::timestamptz[])
                 AS new (org_id, hold_until, holds, rate_factor, credits_remaining, at)
                 JOIN orgs o ON o.id = new.org_id
            WHERE o.removed_at IS NULL ORDER BY o.id FOR KEY SHARE OF o
        )
        INSERT INTO org_limits AS l (org_id, hold_until, holds, rate_factor, credits_remaining, credits_remaining_at)
        SELECT org_id, hold_until, holds, rate_factor, credits_remaining,
               CASE WHEN credits_remaining IS NOT NULL THEN at END
        FROM present ORDER BY org_id
        ON CONFLICT (org_id) DO UPDATE SET
            hold_until = greatest(l.hold_until, excluded.hold_until),
            holds = excluded.holds,
            rate_factor = excluded.rate_factor,
            credits_remaining = coalesce(excluded.credits_remaining, l.credits_remaining),
            credits_remaining_at = coalesce(excluded.credits_remaining_at, l.credits_remaining_at)
        """,
        [update.org_id for update in updates],
        [_moment(update.state.hold_until) for update in updates],
        [min(update.state.holds, 1_000) for update in updates],
        [update.state.rate_factor for update in updates],
        [update.credits_remaining for update in updates],
        [update.at for update in updates],
    )


def _moment(seconds: float) -> datetime | None:
    """Converts seconds since 1970 to a timestamp; `PAST` is NULL in the database."""
    return None if seconds == PAST else datetime.fromtimestamp(seconds, UTC)
