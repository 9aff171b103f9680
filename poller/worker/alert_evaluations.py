"""Evaluates the alert rules at regular intervals, beside the other background jobs, which may take minutes.

Each worker looks every few seconds whether an evaluation is due, and one of them does it. A worker whose own clock is
wrong takes part, because all times are PostgreSQL's; else nobody would say that its clock is wrong.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.errors import DatabaseError, LockedError, PollerError
from poller.notify.fan_out import enqueue_messages
from poller.store.queue.maintenance import claim_task_start, record_task_end
from poller.worker.alerting import evaluate_alerts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertTransition
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection
    from poller.worker.database_retry import DatabaseRetry

    EnqueueAt = Callable[[Connection, Sequence[AlertTransition], datetime], Awaitable[None]]

ALERTS: Final = "alerts"
"""The name of the maintenance task."""

log = structlog.get_logger("poller.worker")


def message_writer(settings: Settings, keyring: Keyring) -> EnqueueAt:
    """The function that writes the messages about changed alerts to the outbox."""

    async def enqueue(connection: Connection, transitions: Sequence[AlertTransition], now: datetime) -> None:
        await enqueue_messages(
            connection,
            transitions,
            keyring=keyring,
            default_urls=settings.notify_addresses,
            web_origin=settings.web_origin,
            now=now,
        )

    return enqueue


class AlertEvaluations:
    """The evaluations of one worker; `enqueue` writes the messages about changed alerts."""

    def __init__(
        self,
        database: Database,
        database_retry: DatabaseRetry,
        enqueue: EnqueueAt,
        *,
        interval_seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._database_retry = database_retry
        self._enqueue = enqueue
        self._interval_seconds = interval_seconds
        self._now = now

    async def run(self, pause: Callable[[float], Awaitable[None]], idle_seconds: float) -> None:
        """Evaluates the rules when it is due, until cancelled."""
        while True:
            started_at = await self._database_retry.run(
                partial(claim_task_start, self._database, ALERTS, self._interval_seconds)
            )
            if started_at is not None:
                await self._evaluate(started_at)
            await pause(idle_seconds)

    async def _evaluate(self, started_at: datetime) -> None:
        """Evaluates once. After an error nothing has changed, and the next evaluation does the work."""

        async def enqueue(connection: Connection, transitions: Sequence[AlertTransition]) -> None:
            await self._enqueue(connection, transitions, started_at)

        detail, error = "", None
        try:
            detail = await evaluate_alerts(self._database, started_at, enqueue)
        except LockedError as locked:
            error = locked.what
            log.warning("alerts.locked", why=locked.what, remedy=locked.remedy)
        except DatabaseError as failed:
            error = failed.what
            if not failed.passing:
                log.exception("alerts.failed", why=failed.what, remedy=failed.remedy)
        except PollerError as failed:
            error = failed.what
            log.exception("alerts.failed", why=failed.what, remedy=failed.remedy)
        except Exception:  # a fault in alerts must not stop the polls
            error = "a fault of this program: see alerts.failed in the log"
            log.exception("alerts.failed", why=error, remedy="report it with this traceback")
        else:
            log.debug("alerts.evaluated", detail=detail, seconds=(self._now() - started_at).total_seconds())
        await self._database_retry.run(
            partial(record_task_end, self._database, ALERTS, self._now(), detail=detail, error=error)
        )
