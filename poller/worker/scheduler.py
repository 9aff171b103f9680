"""Adds due slots and due maintenance tasks to the queue, at regular intervals. Any number of workers may do so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from poller.core.credits import affordable_interval
from poller.core.editions import daily_credits
from poller.core.errors import ClockError
from poller.core.schedule import advance
from poller.store.queue.maintenance import enqueue_maintenance_tasks
from poller.store.queue.schedules import enqueue_due_slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from poller.core.model import Org
    from poller.core.policy import PollPolicy
    from poller.core.schedule import Advance, Cursor
    from poller.polling.instrumentation import Instrumentation
    from poller.store.database import Database
    from poller.worker.clock_watch import ClockWatch
    from poller.worker.config import WorkerConfig
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.maintenance import MaintenanceTask

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class Scheduler:
    """The scheduler of one worker."""

    policy: PollPolicy
    database: Database
    database_retry: DatabaseRetry
    config: WorkerConfig
    tasks: Mapping[str, MaintenanceTask]
    clock_watch: ClockWatch
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    instrumentation: Instrumentation
    _changed_since: datetime | None = None

    async def run(self) -> None:
        """Adds what is due to the queue, again and again, unless this machine's clock is wrong."""
        while True:
            if not self.clock_watch.wrong_seconds:
                try:
                    await self._enqueue()
                except ClockError as error:
                    # PostgreSQL's clock was set back, or this machine's jumped: read PostgreSQL's clock again.
                    log.warning("slots.not_handed_out", why=error.what, remedy=error.remedy)
                    await self.database_retry.run(self.database.read_clock)
            await self.sleep(self.config.schedule_interval_seconds * (0.75 + self.jitter() / 2))

    async def _enqueue(self) -> None:
        now = self.now()
        result = await self.database_retry.run(
            partial(
                enqueue_due_slots,
                self.database,
                self._due_slots,
                now,
                timedelta(seconds=self.config.max_lookahead_seconds),
                interval_seconds=self.policy.poll_interval_seconds,
                changed_since=self._changed_since,
            )
        )
        if result.alone:
            self._changed_since = now
            self.instrumentation.slots_enqueued(result.slots)
            intervals = {name: task.every_seconds for name, task in self.tasks.items()}
            await self.database_retry.run(partial(enqueue_maintenance_tasks, self.database, intervals, now))
        if result.missed_ranges:
            log.warning("slots.missed", stretches=result.missed_ranges)

    def _due_slots(self, org: Org, cursor: Cursor | None, now: datetime) -> Advance:
        allowance = daily_credits(org.edition, org.licences)
        seconds = affordable_interval(org.interval_seconds, allowance, self.policy.credit_share)
        lookahead = min(max(seconds, self.config.min_lookahead_seconds), self.config.max_lookahead_seconds)
        return advance(org.id, seconds, cursor, now, timedelta(seconds=lookahead))
