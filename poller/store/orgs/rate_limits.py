"""What each org's limits have taught us, so that a restart or another worker goes on from it instead of learning anew.

A hold is never shortened by what is saved later; for the rest, the last word counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.rate_limit import RateLimitState
    from poller.store.queries import Queries


@dataclass(frozen=True, slots=True)
class RateLimitUpdate:
    """What a poll taught about one org's limits; `credits_remaining` as Zoho said at `at`, None if it did not."""

    org_id: int
    quota: RateLimitState
    credits_remaining: int | None
    at: datetime


async def save_limits(database: Queries, lessons: Sequence[RateLimitUpdate]) -> None:
    """Keep what was learned about these orgs, each named once; those removed or purged meanwhile are passed over."""
    # limits.save: many orgs at once, in the order of the key so that two workers never wait for each other in turn.
    # The orgs are locked as the foreign key would lock them, or one could be purged between being read and referred to.
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
        [lesson.org_id for lesson in lessons],
        [_moment(lesson.quota.hold_until) for lesson in lessons],
        [min(lesson.quota.holds, 1_000) for lesson in lessons],
        [lesson.quota.rate_factor for lesson in lessons],
        [lesson.credits_remaining for lesson in lessons],
        [lesson.at for lesson in lessons],
    )


def _moment(seconds: float) -> datetime | None:
    """The quota's seconds of 1970 as the database keeps them; 0.0 was never."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
