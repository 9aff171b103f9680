"""The settings of the running service that decide how often orgs are polled, for those who ask without being it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from poller.settings import Settings
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service polls by. The defaults hold until a service has run; the view `org_states` has them too."""

    poll_interval_seconds: int = 900
    credit_share: float = 0.10
    in_flight_share: float = 0.5
    api_version: str = "v7"


def settings_of(settings: Settings) -> ServiceSettings:
    """Those of a process."""
    return ServiceSettings(
        settings.poll_interval_seconds, settings.credit_share, settings.in_flight_share, settings.api_version
    )


async def save_service_settings(database: Database, settings: ServiceSettings, now: datetime) -> None:
    """Record the settings of a worker; those of the worker that started last hold."""
    await database.execute(_SAVE.format("true"), *_arguments(settings, now))


async def save_settings_of_command(
    database: Database, settings: ServiceSettings, now: datetime, workers_since: datetime
) -> None:
    """Record the settings of `poller poll`, unless a worker was seen after `workers_since`."""
    where = "NOT EXISTS (SELECT FROM workers WHERE seen_at > $6)"
    await database.execute(_SAVE.format(where), *_arguments(settings, now), workers_since)


async def read_service_settings(database: Database) -> ServiceSettings:
    """The settings in force."""
    return await recorded_settings(database) or ServiceSettings()


async def recorded_settings(database: Database) -> ServiceSettings | None:
    """The settings of the service that ran last; None if none ran yet."""
    # service_settings.read
    row = await database.fetchrow(
        "SELECT poll_interval_seconds, credit_share, in_flight_share, api_version FROM service_settings"
    )
    return None if row is None else ServiceSettings(*row)


def _arguments(settings: ServiceSettings, now: datetime) -> tuple[object, ...]:
    return (
        settings.poll_interval_seconds,
        settings.credit_share,
        settings.in_flight_share,
        settings.api_version,
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
