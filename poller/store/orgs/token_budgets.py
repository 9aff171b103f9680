"""Counts issued tokens and exchanged grant codes, so that the poller stays below Zoho's limits for both.

The table `token_budgets` has one row per grant, which `tokens` counts tokens in, and one row per client, which this
module counts exchanges of grant codes in.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.token import CODE_LIFE_SECONDS, CODE_WINDOW_SECONDS, CODES_PER_WINDOW

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


async def reserve_exchange(database: Database, client_id: str, now: datetime) -> float:
    """Counts one exchange of a grant code of a client and returns 0.0; or counts none and returns seconds to wait."""
    key = _key_of_client(client_id)
    until: datetime | None = await database.fetchval(_RESERVE_EXCHANGE, key, now, CODES_PER_WINDOW, CODE_WINDOW_SECONDS)
    return 0.0 if until is None else (until - now).total_seconds()


async def exchanges_possible(database: Database, client_id: str, now: datetime) -> int:
    """Returns how many grant codes of this client Zoho accepts before a code that is made now expires."""
    # token_budgets.exchanges_possible: exchanges since this time still count when the code expires.
    counted: int = await database.fetchval(
        "SELECT count(*)::int FROM token_budgets, unnest(issued_at) AS at WHERE grant_fingerprint = $1 AND at > $2",
        _key_of_client(client_id),
        now - timedelta(seconds=CODE_WINDOW_SECONDS - CODE_LIFE_SECONDS),
    )
    return max(CODES_PER_WINDOW - counted, 0)


async def delete_expired_budgets(database: Database, now: datetime) -> int:
    """Deletes budgets that no longer limit anything, such as those of removed orgs; returns how many."""
    # token_budgets.delete_expired: an hour is longer than any window plus lease.
    status = await database.execute(
        "DELETE FROM token_budgets WHERE $1::timestamptz - interval '1 hour' > ALL (issued_at)", now
    )
    return int(status.rpartition(" ")[2])


def _key_of_client(client_id: str) -> bytes:
    """Returns the key under which exchanges of a client are counted; no fingerprint of a grant can equal it."""
    return hashlib.sha256(f"grant codes\0{client_id}".encode()).digest()


# token_budgets.reserve_exchange: NULL, or the time until which no exchange is possible.
# $1 key, $2 now, $3 exchanges and $4 seconds of the window
_RESERVE_EXCHANGE: Final = """
WITH span AS (
    SELECT $2::timestamptz - make_interval(secs => $4::float8) AS start
), counted AS (
    INSERT INTO token_budgets AS b (grant_fingerprint, issued_at) VALUES ($1, ARRAY[$2::timestamptz])
    ON CONFLICT (grant_fingerprint) DO UPDATE SET issued_at = ARRAY(
        SELECT at FROM unnest(b.issued_at) AS at WHERE at > (SELECT start FROM span) ORDER BY at
    ) || $2::timestamptz
    WHERE (SELECT count(*) FROM unnest(b.issued_at) AS at WHERE at > (SELECT start FROM span)) < $3
    RETURNING true
)
SELECT CASE WHEN NOT EXISTS (SELECT FROM counted) THEN coalesce(
    (SELECT at FROM token_budgets b, unnest(b.issued_at) AS at
     WHERE b.grant_fingerprint = $1 AND at > (SELECT start FROM span) ORDER BY at DESC OFFSET $3 - 1 LIMIT 1),
    $2::timestamptz) + make_interval(secs => $4::float8) END
"""
