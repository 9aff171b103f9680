"""Records the credits that the poller spent on each org in the last 24 hours, for all workers and across restarts.

Credits are counted by quarter hours. A quarter hour counts until all of it is older than 24 hours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.durations import DAY_SECONDS
from poller.core.slots import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.store.queries import Queries, Row

QUARTER_SECONDS: Final = 900


def counted_after(now: datetime) -> datetime:
    """Returns the time after which a quarter hour must begin to count, at least in part, as the last 24 hours."""
    return now - timedelta(seconds=DAY_SECONDS + QUARTER_SECONDS)


async def spend(database: Queries, credits_by_org: Mapping[int, int], now: datetime) -> None:
    """Adds credits to what these orgs spent; skips orgs that are removed or purged."""
    # credits.spend: many orgs at once, in the order of the key, so that two workers cannot deadlock. It locks the orgs
    # as the foreign key would, because an org could otherwise be purged before the insert refers to it.
    await database.execute(
        """
        WITH present AS (
            SELECT o.id, new.credits
            FROM unnest($1::int[], $2::int[]) AS new (org_id, credits) JOIN orgs o ON o.id = new.org_id
            WHERE o.removed_at IS NULL ORDER BY o.id FOR KEY SHARE OF o
        )
        INSERT INTO credit_spend AS s (org_id, bucket, credits)
        SELECT id, $3::timestamptz, credits FROM present ORDER BY id
        ON CONFLICT (org_id, bucket) DO UPDATE SET credits = s.credits + excluded.credits
        """,
        list(credits_by_org.keys()),
        list(credits_by_org.values()),
        slot_of(now, QUARTER_SECONDS),
    )


async def correct(database: Queries, credits_by_org: Mapping[int, int], now: datetime) -> None:
    """Corrects the credits reserved at `now`: positive if the poll spent more, negative if it spent less."""
    # credits.correct: in the order of the key, as above. Never below 0; skips orgs without a reservation.
    await database.execute(
        """
        UPDATE credit_spend s SET credits = greatest(s.credits + known.credits, 0)
        FROM (SELECT s.org_id, new.credits
              FROM unnest($1::int[], $2::int[]) AS new (org_id, credits)
                   JOIN credit_spend s ON s.org_id = new.org_id AND s.bucket = $3
              ORDER BY s.org_id FOR UPDATE OF s) AS known
        WHERE s.org_id = known.org_id AND s.bucket = $3
        """,
        list(credits_by_org.keys()),
        list(credits_by_org.values()),
        slot_of(now, QUARTER_SECONDS),
    )


async def spent(database: Queries, org_ids: Sequence[int], now: datetime) -> dict[int, int]:
    """Returns the credits that each of these orgs spent in the 24 hours before `now`; 0 for an org without any."""
    # credits.spent
    rows: Sequence[Row] = await database.fetch(
        """
        SELECT org_id, sum(credits)::int AS credits FROM credit_spend
        WHERE org_id = ANY($1::int[]) AND bucket > $2
        GROUP BY org_id
        """,
        org_ids,
        counted_after(now),
    )
    return dict.fromkeys(org_ids, 0) | {row["org_id"]: row["credits"] for row in rows}


async def delete_expired_credits(database: Queries, now: datetime) -> int:
    """Deletes the quarter hours that no longer count; returns how many rows."""
    # credits.delete_expired
    status = await database.execute("DELETE FROM credit_spend WHERE bucket <= $1", counted_after(now))
    return int(status.rpartition(" ")[2])
