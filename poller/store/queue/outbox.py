"""The outbox: messages about alerts, written in the transaction that changes the alert, and delivered by any worker.

A worker leases an address for a short time, by PostgreSQL's clock, and sends its messages one after the other. If it
dies, another worker sends the message again, with the same id. After a restart of PostgreSQL the leases last a little
longer, so that workers first record what they sent while PostgreSQL was unreachable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from poller.store.database import Database
    from poller.store.queries import Connection

LEASE: Final = timedelta(seconds=90)
"""Longer than the longest attempt."""
KEPT: Final = timedelta(days=30)
"""Delivered messages are kept this long, and at least as long as one of their alerts is open."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to write. `occasion`: of one alert, kind and occasion, an address gets one message."""

    address_id: int
    about: str
    occasion: str
    content: Mapping[str, Any]
    alert_ids: Sequence[int] = ()
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeasedAddress:
    """An address that this worker alone sends to until `until`."""

    id: int
    scheme: str
    url: bytes
    key_id: str
    failures: int
    until: datetime


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message to send now. `attempts`: made so far; `age_seconds`: since it could first be sent."""

    id: int
    message_id: str
    about: str
    content: Mapping[str, Any]
    attempts: int
    age_seconds: float


async def insert_messages(connection: Connection, messages: Sequence[NewMessage]) -> int:
    """Writes messages; returns how many are new. One that an address has already is not written again."""
    if not messages:
        return 0
    # outbox.insert
    rows = await connection.fetch(
        """
        INSERT INTO notify_messages (address_id, alert_id, alert_ids, about, occasion, content, not_before)
        SELECT m.address_id, m.alert_id, coalesce((m.content->>'alert_ids')::bigint[], '{}'), m.about, m.occasion,
               m.content - 'alert_ids', greatest(m.not_before, now())
        FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[])
             AS m (address_id, alert_id, about, occasion, content, not_before)
        ON CONFLICT (address_id, alert_id, about, occasion) DO NOTHING RETURNING id
        """,
        [one.address_id for one in messages],
        [one.alert_ids[0] if len(one.alert_ids) == 1 else None for one in messages],
        [one.about for one in messages],
        [one.occasion for one in messages],
        # An array of arrays must be rectangular, so the ids travel as text.
        [{**one.content, "alert_ids": f"{{{','.join(map(str, one.alert_ids))}}}"} for one in messages],
        [one.not_before for one in messages],
    )
    return len(rows)


async def receivers_of(connection: Connection, alert_ids: Sequence[int]) -> dict[int, list[int]]:
    """By alert: the addresses that got a message that it fires, or will get it."""
    # outbox.receivers
    rows = await connection.fetch(
        """
        SELECT named.id, array_agg(DISTINCT m.address_id) AS addresses
        FROM notify_messages m, unnest(m.alert_ids) AS named (id)
        WHERE m.about = 'firing' AND m.given_up_at IS NULL AND m.alert_ids && $1::bigint[] AND named.id = ANY($1)
        GROUP BY named.id
        """,
        list(alert_ids),
    )
    return {row["id"]: row["addresses"] for row in rows}


async def lease_addresses(database: Database, most: int, busy: Collection[int] = ()) -> list[LeasedAddress]:
    """Leases addresses with messages to send now; not those of `busy`, to which this process still sends."""
    # outbox.lease
    rows = await database.fetch(
        """
        WITH ready AS (
            SELECT a.id FROM notify_addresses a
            WHERE (a.leased_until IS NULL
                   OR greatest(a.leased_until, pg_postmaster_start_time() + interval '15 seconds') <= now())
              AND (a.retry_at IS NULL OR a.retry_at <= now()) AND NOT a.id = ANY($2::int[])
              AND EXISTS (
                  SELECT FROM notify_messages m
                  WHERE m.address_id = a.id AND m.delivered_at IS NULL AND m.given_up_at IS NULL
                    AND m.not_before <= now()
              )
            ORDER BY a.retry_at NULLS FIRST, a.id LIMIT $1 FOR NO KEY UPDATE OF a SKIP LOCKED
        )
        UPDATE notify_addresses a SET leased_until = now() + $3 FROM ready WHERE a.id = ready.id
        RETURNING a.id, a.scheme, a.url, a.key_id, a.failures, a.leased_until
        """,
        most,
        list(busy),
        LEASE,
    )
    return [LeasedAddress(*row) for row in rows]


async def next_message(database: Database, address: LeasedAddress) -> tuple[LeasedAddress, WaitingMessage] | None:
    """Renews the lease and returns the oldest message to send; None if there is none, or the lease has ended."""
    # outbox.next
    row = await database.fetchrow(
        """
        WITH next AS (
            SELECT m.id, m.message_id::text, m.about, m.content, m.attempts,
                   extract(epoch FROM now() - m.not_before)::float8 AS age_seconds
            FROM notify_messages m
            WHERE m.address_id = $1 AND m.delivered_at IS NULL AND m.given_up_at IS NULL AND m.not_before <= now()
            ORDER BY m.id LIMIT 1
        )
        UPDATE notify_addresses a SET leased_until = now() + $3 FROM next
        WHERE a.id = $1 AND a.leased_until = $2 AND a.leased_until > now()
        RETURNING a.leased_until, next.*, a.scheme, a.url, a.key_id, a.failures
        """,
        address.id,
        address.until,
        LEASE,
    )
    if row is None:
        return None
    until, *message, scheme, url, key_id, failures = row
    return LeasedAddress(address.id, scheme, url, key_id, failures, until), WaitingMessage(*message)


async def record_delivery(database: Database, address: LeasedAddress, message: WaitingMessage) -> None:
    """Records that a message was delivered, on the message, its address and its alerts."""
    # outbox.delivered: alerts show the first time that a message about them arrived.
    await database.execute(
        """
        WITH sent AS (
            UPDATE notify_messages SET delivered_at = now(), attempts = attempts + 1, error = NULL
            WHERE id = $2 AND delivered_at IS NULL RETURNING about, alert_ids
        ), working AS (
            UPDATE notify_addresses SET failures = 0, retry_at = NULL WHERE id = $1 AND failures > 0
        )
        UPDATE alert_states a SET delivered_at = now() FROM sent
        WHERE sent.about = 'firing' AND a.id = ANY(sent.alert_ids) AND a.delivered_at IS NULL
        """,
        address.id,
        message.id,
    )


async def record_failure(
    database: Database,
    address: LeasedAddress,
    message: WaitingMessage,
    error: str,
    *,
    pause_seconds: float,
    given_up: bool,
) -> None:
    """Records a failed attempt and ends the lease: no attempt to this address for `pause_seconds`."""
    # outbox.failed
    await database.execute(
        """
        WITH failed AS (
            UPDATE notify_messages
            SET attempts = attempts + 1, error = $3, given_up_at = CASE WHEN $5 THEN now() END
            WHERE id = $2 AND delivered_at IS NULL
        )
        UPDATE notify_addresses
        SET failures = failures + 1, retry_at = now() + make_interval(secs => $4), leased_until = NULL
        WHERE id = $1 AND leased_until = $6
        """,
        address.id,
        message.id,
        error,
        pause_seconds,
        given_up,
        address.until,
    )


async def release_address(database: Database, address: LeasedAddress) -> None:
    """Ends the lease, so that any worker may send to this address."""
    # outbox.release
    await database.execute(
        "UPDATE notify_addresses SET leased_until = NULL WHERE id = $1 AND leased_until = $2",
        address.id,
        address.until,
    )


async def delete_expired_messages(database: Database) -> int:
    """Deletes messages that were delivered or given up long ago; returns how many."""
    # outbox.expire
    rows = await database.fetch(
        """
        DELETE FROM notify_messages m
        WHERE coalesce(m.delivered_at, m.given_up_at) < now() - $1::interval
          AND NOT EXISTS (SELECT FROM alert_states a WHERE a.id = ANY(m.alert_ids) AND a.state <> 'resolved')
        RETURNING m.id
        """,
        KEPT,
    )
    return len(rows)
