"""Hands out the slots of the fleet, and queues the chores, at regular moments; any number of workers may do so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from poller.core.errors import ClockError
from poller.core.rate_limit import affordable_interval, daily_credits
from poller.core.schedule import advance
from poller.store.queue.maintenance import queue_chores
from poller.store.queue.schedules import enqueue_due_slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from poller.core.model import Org
    from poller.core.schedule import Advance, Cursor
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.worker.clock_watch import ClockWatch
    from poller.worker.config import WorkerConfig
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.maintenance import MaintenanceTask
    from poller.worker.observer import Observer

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class Scheduler:
    """One worker's share of handing out slots."""

    settings: Settings
    database: Database
    outage: DatabaseRetry
    pace: WorkerConfig
    chores: Mapping[str, MaintenanceTask]
    clock_watch: ClockWatch
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    observer: Observer
    _changed_since: datetime | None = None

    async def run(self) -> None:
        """Hand out what is due, again and again, unless this machine's clock is wrong."""
        while True:
            if not self.clock_watch.wrong_seconds:
                try:
                    await self._hand_out()
                except ClockError as error:
                    # PostgreSQL's clock was set back, or ours jumped: read it again.
                    log.warning("slots.not_handed_out", why=error.what, remedy=error.remedy)
                    await self.outage.run_with_retry(self.database.read_clock)
            await self.sleep(self.pace.schedule_interval_seconds * (0.75 + self.jitter() / 2))

    async def _hand_out(self) -> None:
        now = self.now()
        handed = await self.outage.run_with_retry(
            partial(
                enqueue_due_slots,
                self.database,
                self._due_slots,
                now,
                timedelta(seconds=self.pace.max_lookahead_seconds),
                interval_seconds=self.settings.poll_interval_seconds,
                changed_since=self._changed_since,
            )
        )
        if handed.alone:
            self._changed_since = now
            self.observer.handed_out(handed.slots)
            intervals = {name: chore.every_seconds for name, chore in self.chores.items()}
            await self.outage.run_with_retry(partial(queue_chores, self.database, intervals, now))
        if handed.stretches:
            log.warning("slots.missed", stretches=handed.stretches)

    def _due_slots(self, org: Org, cursor: Cursor | None, now: datetime) -> Advance:
        allowance = daily_credits(org.edition, org.licences)
        seconds = affordable_interval(org.interval_seconds, allowance, self.settings.credit_share)
        ahead = min(max(seconds, self.pace.min_lookahead_seconds), self.pace.max_lookahead_seconds)
        return advance(org.id, seconds, cursor, now, timedelta(seconds=ahead))
