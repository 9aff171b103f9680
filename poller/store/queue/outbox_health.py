"""Reads how the outbox is: what was delivered, what waits, and which addresses fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.fleet import MessageBacklog
from poller.core.message_health import FailingAddress, OutboxFacts

if TYPE_CHECKING:
    from poller.store.queries import Queries


async def read_outbox(queries: Queries) -> OutboxFacts:
    """The facts. Messages that were given up count until a later one was delivered to their address, or for a week."""
    # outbox_health.sums
    (sums,) = await queries.fetch(
        """
        SELECT (SELECT count(*)::int FROM notify_addresses) AS addresses,
               count(*) FILTER (WHERE delivered_at > now() - interval '1 day')::int AS delivered,
               count(*) FILTER (WHERE delivered_at IS NULL AND given_up_at IS NULL)::int AS waiting
        FROM notify_messages
        """
    )
    # outbox_health.failing
    rows = await queries.fetch(
        f"""
        WITH undelivered AS (
            SELECT a.id, a.scheme, r.name AS rule, a.failures, m.id AS message_id, m.not_before, m.error, m.given_up_at,
                   {_LOST} AS lost
            FROM notify_messages m JOIN notify_addresses a ON a.id = m.address_id
            LEFT JOIN alert_rules r ON r.id = a.rule_id
            WHERE m.delivered_at IS NULL
        )
        SELECT scheme, rule, count(*) FILTER (WHERE given_up_at IS NULL)::int AS waiting,
               count(*) FILTER (WHERE lost)::int AS given_up,
               min(not_before) FILTER (WHERE given_up_at IS NULL AND error IS NOT NULL) AS since,
               coalesce((array_agg(error ORDER BY message_id) FILTER (WHERE error IS NOT NULL))[1], '') AS error
        FROM undelivered GROUP BY id, scheme, rule, failures
        HAVING bool_or(lost) OR (failures > 0 AND bool_or(given_up_at IS NULL)) ORDER BY id
        """  # noqa: S608 - it stands below
    )
    failing = [FailingAddress(*row) for row in rows]
    return OutboxFacts(sums["addresses"], sums["delivered"], sums["waiting"], failing)


async def read_backlog(queries: Queries) -> MessageBacklog:
    """What is not delivered. Messages that quiet hours hold back do not wait yet."""
    (row,) = await queries.fetch(_BACKLOG)
    return MessageBacklog(*row)


# outbox_health.lost: given up in a week, and no later message was delivered to the address.
_LOST: Final = """
m.given_up_at > now() - interval '7 days' AND NOT EXISTS (
    SELECT FROM notify_messages later
    WHERE later.address_id = m.address_id AND later.delivered_at > m.given_up_at
)
"""

# outbox_health.backlog
_BACKLOG: Final = f"""
SELECT count(*)::int AS waiting, coalesce(extract(epoch FROM now() - min(not_before)), 0)::float8 AS oldest_seconds,
       (SELECT count(*)::int FROM notify_messages m WHERE m.delivered_at IS NULL AND {_LOST}) AS given_up
FROM notify_messages WHERE delivered_at IS NULL AND given_up_at IS NULL AND not_before <= now()
"""  # noqa: S608 - it stands above
