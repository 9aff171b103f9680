"""Reads everything that a page shows of one org now: settings, state, counts, limits, credits, seats, next poll.

It reads neither credentials nor tokens, so that a role without rights to them can run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.model import COLUMNS
from poller.core.org_facts import OrgFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.queries import Queries


async def read_facts(queries: Queries, org_id: int, visible_tags: Sequence[str] | None) -> OrgFacts | None:
    """Returns the org, removed or not; None if there is none, or none with one of `visible_tags` (None: all are)."""
    rows = await queries.fetch(_FACTS, org_id, None if visible_tags is None else list(visible_tags))
    if not rows:
        return None
    row: dict[str, Any] = dict(rows[0])
    counts, earlier = {}, {}
    for user_type, column in COLUMNS.items():
        count, polled_at = row.pop(column), row.pop(f"{column}_polled_at")
        if count is not None:
            counts[user_type] = count
        if count is not None and polled_at is not None and polled_at < row["counts_at"]:
            earlier[user_type] = polled_at
    return OrgFacts(**row, counts=counts, earlier=earlier)


_COUNTS: Final = ", ".join(f"l.{column}, l.{column}_polled_at" for column in COLUMNS.values())

_CURRENT: Final = """CASE WHEN coalesce(l.active_users_polled_at, l.polled_at) > now() - interval '24 hours'
            THEN l.active_users END"""
_TODAY: Final = "(now() AT TIME ZONE 'UTC')::date"

# facts.org: $1 org, $2 tags of the caller or NULL. Seats are those of the contract, else of Zoho's last answer, else
# the licences; Zoho's number of used seats counts for two days, then the last count of active users.
_FACTS: Final = f"""
SELECT s.org_id, s.org, s.state, s.state_reason, s.since, s.tags, s.data_center, s.edition, s.licences,
       s.interval_seconds, s.effective_interval_seconds, s.credits_spent, s.credits_share, s.last_polled_at,
       s.last_outcome, s.last_error, s.counts_at, o.zgid, coalesce(o.api_version, v.api_version, '') AS api_version,
       o.poll_interval_seconds AS own_interval_seconds, o.created_at, o.resumed_at, o.paused_at,
       o.parked_at, o.parked_code, o.parked_remedy, o.probe_at, o.probes, c.due_at, m.hold_until,
       coalesce(m.holds, 0) AS holds, coalesce(m.rate_factor, 1) AS rate_factor, m.credits_remaining,
       m.credits_remaining_at, t.issued_at AS token_issued_at, t.expires_at AS token_expires_at, t.cool_until,
       coalesce(v.credit_share, 0.10) AS credit_share, coalesce(v.in_flight_share, 0.5) AS in_flight_share,
       coalesce(k.purchased, r.purchased, o.licences) AS seats,
       coalesce(CASE WHEN r.taken_at > now() - interval '2 days' THEN r.used END, l.active_users, r.used) AS seats_used,
       CASE WHEN k.purchased IS NOT NULL THEN 'contract' WHEN r.purchased IS NOT NULL THEN r.source
            WHEN o.licences IS NOT NULL THEN 'licences' END AS seats_source,
       coalesce(k.renews_on, r.renews_on) AS renews_on, k.price, k.currency,
       f.code AS seats_code, f.remedy AS seats_remedy, ({_CURRENT}) - week.last AS change_7d,
       ({_CURRENT}) - month.last AS change_30d, {_COUNTS}
FROM orgs o
JOIN org_states s ON s.org_id = o.id
LEFT JOIN latest_snapshots l ON l.org_id = o.id
LEFT JOIN org_limits m ON m.org_id = o.id
LEFT JOIN access_tokens t ON t.org_id = o.id
LEFT JOIN org_schedules c ON c.org_id = o.id
LEFT JOIN seat_contracts k ON k.org_id = o.id
LEFT JOIN seat_refusals f ON f.org_id = o.id
LEFT JOIN service_settings v ON true
LEFT JOIN LATERAL (SELECT * FROM seat_readings WHERE org_id = o.id ORDER BY taken_at DESC LIMIT 1) AS r ON true
LEFT JOIN daily_user_counts AS week
    ON week.org_id = o.id AND week.user_type = 'ActiveUsers' AND week.day = {_TODAY} - 7
LEFT JOIN daily_user_counts AS month
    ON month.org_id = o.id AND month.user_type = 'ActiveUsers' AND month.day = {_TODAY} - 30
WHERE o.id = $1 AND ($2::text[] IS NULL OR o.tags && $2)
"""  # noqa: S608 - names of the model
