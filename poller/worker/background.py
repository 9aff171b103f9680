"""The jobs of a worker that are not polls, one at a time: maintenance tasks, and rows for slots that were not polled.

Every slot that was not polled gets a row that says so. Such a range of slots is long if no poller ran for a month:
it is written in chunks, and written again from its start if it was interrupted; rows that exist stay as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.admission import NOT_RUNNING
from poller.core.clock import TOLERANCE_SECONDS
from poller.core.errors import DatabaseError, LockedError
from poller.core.model import Outcome, Snapshot
from poller.core.schedule import newest_over
from poller.store.queue.maintenance import MAINTENANCE, record_task_end, record_task_start
from poller.store.queue.schedules import RECORD_MISSED, read_missed
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from poller.core.retention import Retention
    from poller.core.schedule import Missed
    from poller.polling.instrumentation import Instrumentation
    from poller.store.database import Database
    from poller.store.queue.jobs import Job, JobQueue
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.maintenance import MaintenanceTask

CHUNK: Final = 1_000
"""Slots of one write."""
_CLOCK_TOLERANCE: Final = timedelta(seconds=TOLERANCE_SECONDS)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger("poller.worker")


def _always() -> bool:
    return True


class BackgroundJobs:
    """The background jobs of one worker.

    Missed slots older than `retention` (None: no limit) get no row: the row would soon be deleted with its month.
    """

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        database_retry: DatabaseRetry,
        tasks: Mapping[str, MaintenanceTask],
        *,
        retention: Retention | None,
        now: Callable[[], datetime],
        instrumentation: Instrumentation,
    ) -> None:
        self._database = database
        self._queue = queue
        self._database_retry = database_retry
        self._tasks = tasks
        self._retention = retention
        self._now = now
        self._instrumentation = instrumentation
        self.job_ids: list[int] = []
        """The job that is being done, if any."""

    async def run(
        self, pause: Callable[[float], Awaitable[None]], idle_seconds: float, may_start: Callable[[], bool] = _always
    ) -> None:
        """Does one job after the other until cancelled; the caller returns an unfinished job to the queue."""
        while True:
            if not may_start():
                await pause(idle_seconds)
                continue
            jobs = await self._database_retry.run(partial(self._queue.claim, (MAINTENANCE, RECORD_MISSED), 1))
            for job in jobs:
                self.job_ids = [job.id]
                await self._do(job)
                await self._database_retry.run(partial(self._queue.finish, [job.id]))
                self.job_ids = []
            if not jobs:
                await pause(idle_seconds)

    async def _do(self, job: Job) -> None:
        if job.kind == MAINTENANCE:
            await self._do_task(job.payload.decode())
        else:
            await self._record_missed(read_missed(job.payload))

    async def _do_task(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is None:
            # The task of a newer release; it will be queued again.
            return
        started_at = await self._database_retry.run(partial(record_task_start, self._database, name))
        try:
            detail = await self._database_retry.run(partial(_do_or_leave, task, self._database, started_at))
        except DatabaseError as error:
            if isinstance(error, LockedError):
                log.warning("maintenance.locked", task=name, why=error.what, remedy=error.remedy)
            else:
                # A task that this database role may not do must not stop the polls.
                log.exception("maintenance.failed", task=name, why=error.what, remedy=error.remedy)
            await self._database_retry.run(
                partial(record_task_end, self._database, name, self._now(), error=error.what)
            )
            return
        await self._database_retry.run(partial(record_task_end, self._database, name, self._now(), detail=detail))
        log.info("maintenance.done", task=name, detail=detail, seconds=(self._now() - started_at).total_seconds())

    async def _record_missed(self, missed: Missed) -> None:
        total = 0
        now = self._now()
        oldest = _EARLIEST if self._retention is None else self._retention.cutoff(now)
        for chunk in _chunks(missed, oldest, now):
            await self._database_retry.run(partial(write_snapshots, self._database, chunk, skip_purged=True))
            total += len(chunk)
            self._instrumentation.slots_missed(len(chunk), NOT_RUNNING)
        log.info("slots.explained", org_id=missed.org_id, slots=total, error=NOT_RUNNING)


async def _do_or_leave(task: MaintenanceTask, database: Database, now: datetime) -> str:
    """Does a task; if another session holds a lock that the task needs, the task waits for its next run."""
    try:
        return await task.do(database, now)
    except LockedError as error:
        error.passing = False
        raise


def _chunks(missed: Missed, oldest: datetime, now: datetime) -> Iterator[list[Snapshot]]:
    """Rows for the slots that are over at `now`: a wrong clock may have counted later slots as missed."""
    step = timedelta(seconds=missed.interval_seconds)
    slot = missed.first
    if slot < oldest:
        slot += -((slot - oldest) // step) * step
    last = min(missed.last, newest_over(missed.org_id, missed.interval_seconds, now + _CLOCK_TOLERANCE))
    while slot <= last:
        chunk: list[Snapshot] = []
        while slot <= last and len(chunk) < CHUNK:
            chunk.append(Snapshot(missed.org_id, slot, None, Outcome.MISSED, NOT_RUNNING))
            slot += step
        yield chunk
