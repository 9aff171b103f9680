"""The poll policy of the running service, stored for commands and pages that are other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.policy import PollPolicy

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


async def save_service_settings(database: Database, policy: PollPolicy, now: datetime) -> None:
    """Stores the policy of a worker; the policy of the worker that started last is in force."""
    await database.execute(_SAVE.format("true"), *_arguments(policy, now))


async def save_settings_of_command(
    database: Database, policy: PollPolicy, now: datetime, workers_since: datetime
) -> None:
    """Stores the policy of `poller poll`, unless a worker was seen after `workers_since`."""
    where = "NOT EXISTS (SELECT FROM workers WHERE seen_at > $6)"
    await database.execute(_SAVE.format(where), *_arguments(policy, now), workers_since)


async def read_service_settings(database: Database) -> PollPolicy:
    """The policy in force."""
    return await recorded_settings(database) or PollPolicy()


async def recorded_settings(database: Database) -> PollPolicy | None:
    """The policy of the service that ran last; None if none ran yet."""
    # service_settings.read
    row = await database.fetchrow(
        "SELECT poll_interval_seconds, credit_share, in_flight_share, api_version FROM service_settings"
    )
    return None if row is None else PollPolicy(*row)


def _arguments(policy: PollPolicy, now: datetime) -> tuple[object, ...]:
    return (
        policy.poll_interval_seconds,
        policy.credit_share,
        policy.in_flight_share,
        policy.api_version,
        now,
    )


# service_settings.save: one row.
_SAVE: Final = """
INSERT INTO service_settings AS held
    (poll_interval_seconds, credit_share, in_flight_share, api_version, updated_at)
SELECT $1, $2, $3, $4, $5 WHERE {}
ON CONFLICT (alone) DO UPDATE SET
    poll_interval_seconds = excluded.poll_interval_seconds, credit_share = excluded.credit_share,
    in_flight_share = excluded.in_flight_share, api_version = excluded.api_version, updated_at = excluded.updated_at
"""
