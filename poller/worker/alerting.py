"""Evaluates the alert rules and stores the alerts that fire and that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertTransition
    from poller.store.database import Database
    from poller.store.queries import Connection

    Enqueue = Callable[[Connection, Sequence[AlertTransition]], Awaitable[None]]


async def evaluate_alerts(database: Database, now: datetime, enqueue: Enqueue) -> str:
    """Evaluates every rule once; `enqueue` is called in the transaction that changes the alerts."""
    raise NotImplementedError
