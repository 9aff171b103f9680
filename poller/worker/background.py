"""What is done beside the polls, one thing at a time: chores, and stretches of slots that nobody polled.

A stretch is explained row by row: a missing row would be a lie. It may be long (a poller that stood still for a month),
so it is written piece by piece and begun again from the start where it was broken off: known rows stay as they are.
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
from poller.store.queue.maintenance import CHORE, begin_chore, end_chore
from poller.store.queue.schedules import EXPLAIN, read_missed
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from poller.core.retention import Retention
    from poller.core.schedule import Missed
    from poller.store.database import Database
    from poller.store.queue.jobs import Job, JobQueue
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.maintenance import MaintenanceTask
    from poller.worker.observer import Observer

PIECE: Final = 1_000
"""Slots written at once."""
_CLOCK_TOLERANCE: Final = timedelta(seconds=TOLERANCE_SECONDS)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger("poller.worker")


def _always() -> bool:
    return True


class BackgroundJobs:
    """This worker's share of the jobs that are no polls.

    Slots older than `retention` (None: none are) are not explained: they would be dropped with their month.
    """

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        outage: DatabaseRetry,
        chores: Mapping[str, MaintenanceTask],
        *,
        retention: Retention | None,
        now: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self._database = database
        self._queue = queue
        self._outage = outage
        self._chores = chores
        self._retention = retention
        self._now = now
        self._observer = observer
        self.held: list[int] = []
        """The job that is being done, if any."""

    async def run(
        self, pause: Callable[[float], Awaitable[None]], idle_seconds: float, may_begin: Callable[[], bool] = _always
    ) -> None:
        """Do one job after the other, until cancelled; the caller releases what was not done by then."""
        while True:
            if not may_begin():
                await pause(idle_seconds)
                continue
            jobs = await self._outage.run_with_retry(partial(self._queue.claim, (CHORE, EXPLAIN), 1))
            for job in jobs:
                self.held = [job.id]
                await self._do(job)
                await self._outage.run_with_retry(partial(self._queue.finish, [job.id]))
                self.held = []
            if not jobs:
                await pause(idle_seconds)

    async def _do(self, job: Job) -> None:
        if job.kind == CHORE:
            await self._chore(job.payload.decode())
        else:
            await self._explain(read_missed(job.payload))

    async def _chore(self, name: str) -> None:
        chore = self._chores.get(name)
        if chore is None:
            # Of a newer release than this one; it will be queued again.
            return
        begun_at = await self._outage.run_with_retry(partial(begin_chore, self._database, name))
        try:
            detail = await self._outage.run_with_retry(partial(_do_or_leave, chore, self._database, begun_at))
        except DatabaseError as error:
            if isinstance(error, LockedError):
                log.warning("chore.locked", chore=name, why=error.what, remedy=error.remedy)
            else:
                # A chore that this role may not do keeps nobody from polling.
                log.exception("chore.failed", chore=name, why=error.what, remedy=error.remedy)
            await self._outage.run_with_retry(partial(end_chore, self._database, name, self._now(), error=error.what))
            return
        await self._outage.run_with_retry(partial(end_chore, self._database, name, self._now(), detail=detail))
        log.info("chore.done", chore=name, detail=detail, seconds=(self._now() - begun_at).total_seconds())

    async def _explain(self, missed: Missed) -> None:
        total = 0
        now = self._now()
        oldest = _EARLIEST if self._retention is None else self._retention.cutoff(now)
        for piece in _chunks(missed, oldest, now):
            await self._outage.run_with_retry(partial(write_snapshots, self._database, piece, skip_purged=True))
            total += len(piece)
            self._observer.missed(len(piece), NOT_RUNNING)
        log.info("slots.explained", org_id=missed.org_id, slots=total, error=NOT_RUNNING)


async def _do_or_leave(chore: MaintenanceTask, database: Database, now: datetime) -> str:
    """Do it; where a lock of another session keeps it from being done, leave it to the next run."""
    try:
        return await chore.do(database, now)
    except LockedError as error:
        error.passing = False
        raise


def _chunks(missed: Missed, oldest: datetime, now: datetime) -> Iterator[list[Snapshot]]:
    """The slots that are over by `now`: a clock that was wrong may have called later ones missed."""
    step = timedelta(seconds=missed.interval_seconds)
    slot = missed.first
    if slot < oldest:
        slot += -((slot - oldest) // step) * step
    last = min(missed.last, newest_over(missed.org_id, missed.interval_seconds, now + _CLOCK_TOLERANCE))
    while slot <= last:
        piece: list[Snapshot] = []
        while slot <= last and len(piece) < PIECE:
            piece.append(Snapshot(missed.org_id, slot, None, Outcome.MISSED, NOT_RUNNING))
            slot += step
        yield piece
