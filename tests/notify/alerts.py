"""Alerts that fire or are over, and deliverers, for tests of delivery."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from poller.core.alerts import Alert, AlertRule, AlertState, AlertTransition, QuietHours, Severity
from poller.notify.delivery import Deliverer
from poller.notify.fan_out import enqueue_messages
from poller.store.locks import Lock, lock
from poller.store.queue.addresses import set_addresses
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOW: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
SOON: Final = 0.02
"""The first pause before another attempt, in seconds."""


class Alerts:
    """Writes alerts and their messages as an evaluation does."""

    def __init__(self, database: Database, keyring: Keyring, urls: Sequence[Secret] = ()) -> None:
        self.database, self.keyring, self.urls = database, keyring, urls
        self.web_origin: str | None = "https://poller.example"
        self.quiet: QuietHours | None = None
        self._rule_id: int | None = None

    async def fire(self, number: int = 1, **changes: Any) -> list[Alert]:
        """Stores new alerts and the messages that they fire."""
        rule_id = await self.rule_id()
        rows = await self.database.fetch(
            """
            INSERT INTO alert_states (rule_id, subject, state, severity, since, counted_from, message, remedy)
            SELECT $1, gen_random_uuid()::text, 'firing', 'warning', now(), now(), '96 % of seats are used', 'buy seats'
            FROM generate_series(1, $2) RETURNING id, subject
            """,
            rule_id,
            number,
        )
        alerts = [alert_of(row["id"], subject=row["subject"], **changes) for row in rows]
        await self.enqueue(alerts, AlertState.FIRING)
        return alerts

    async def resolve(self, alerts: Sequence[Alert], **changes: Any) -> None:
        await self.enqueue(
            [alert_of(alert.id, subject=alert.subject, state=AlertState.RESOLVED, **changes) for alert in alerts],
            AlertState.RESOLVED,
        )

    async def enqueue(self, alerts: Sequence[Alert], to_state: AlertState, now: datetime = NOW) -> None:
        rule = await self.rule()
        changed = [AlertTransition(alert, rule, None, to_state, now, "", announce=True) for alert in alerts]
        async with self.database.transaction() as connection:
            await lock(connection, Lock.ALERTS)
            await enqueue_messages(
                connection,
                changed,
                keyring=self.keyring,
                default_urls=self.urls,
                web_origin=self.web_origin,
                now=now,
            )

    async def rule_id(self) -> int:
        if self._rule_id is None:
            self._rule_id = await self.database.fetchval("SELECT id FROM alert_rules WHERE name = 'seats_used'")
        assert self._rule_id is not None
        return self._rule_id

    async def rule(self) -> AlertRule:
        rule_id = await self.rule_id()
        return AlertRule(
            rule_id, "seats_used", "seats_used_percent", ">=", 95, 0, 0, Severity.WARNING, quiet=self.quiet
        )

    async def send_to(self, urls: Sequence[Secret]) -> None:
        """Gives the rule addresses of its own."""
        async with self.database.transaction() as connection:
            await set_addresses(connection, await self.rule_id(), urls, self.keyring)

    async def waiting(self) -> int:
        number: int = await self.database.fetchval(
            "SELECT count(*) FROM notify_messages WHERE delivered_at IS NULL AND given_up_at IS NULL"
        )
        return number

    async def all_sent(self) -> None:
        await eventually(self._nothing_waits)

    async def _nothing_waits(self) -> bool:
        return await self.waiting() == 0


def alert_of(alert_id: int, **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "id": alert_id,
        "rule": "seats_used",
        "org_id": None,
        "org": "Castle Foods",
        "user_type": "ActiveUsers",
        "subject": None,
        "state": AlertState.FIRING,
        "severity": Severity.WARNING,
        "since": NOW,
        "fired_at": NOW,
        "resolved_at": None,
        "snoozed_until": None,
        "unknown_since": None,
        "value": 96.0,
        "threshold": 95.0,
        "message": "96 % of seats are used",
        "remedy": "buy seats",
        "resolved_reason": None,
        "delivered_at": None,
    }
    return Alert(**values | changes)


def quick_pause(failures: int, _jitter: float, retry_after: float | None) -> float:
    """The pauses of the poller, 250 times as short; Retry-After as it is."""
    return retry_after if retry_after is not None else min(SOON * 2.0 ** (failures - 1), 0.2)


@asynccontextmanager
async def delivering(*deliverers: Deliverer) -> AsyncIterator[asyncio.Event]:
    """Runs deliverers until the end of the block."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for deliverer in deliverers:
            tasks.create_task(deliverer.run(stopping))
        try:
            yield stopping
        finally:
            stopping.set()


def deliverer(database: Database, keyring: Keyring, urls: Sequence[Secret] = (), **options: Any) -> Deliverer:
    values: dict[str, Any] = {"idle_seconds": 0.02, "finish_seconds": 2.0, "pause": quick_pause}
    return Deliverer(database, keyring, urls, **values | options)
