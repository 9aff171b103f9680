"""Writes what was polled: first the rows, then the queue learns that their jobs are done.

A worker that dies between the two leaves jobs whose slots are found to be polled. Rows are kept while PostgreSQL is
away, until the worker has to give up.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from poller.core.clock import TOLERANCE_SECONDS
from poller.core.errors import ClockError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.model import Snapshot
    from poller.polling.runner import PollRunner
    from poller.store.database import Database
    from poller.store.queue.jobs import JobQueue
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.dispatcher import Dispatcher
    from poller.worker.observer import FinishedJob, Observer

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class ResultWriter:
    """Takes batches of readings to the store."""

    database: Database
    fleet: PollRunner
    queue: JobQueue
    outage: DatabaseRetry
    observer: Observer
    polls: int = 0
    """Rows written."""
    lost: int = 0
    """Readings that could not be written before it gave up."""
    give_up_at: float = math.inf
    """On the monotonic clock: from then on PostgreSQL is not waited for."""

    async def write(self, batch: Sequence[FinishedJob], polls: Dispatcher) -> None:
        """Write these, and finish their jobs. Readings dated in the future go back to the queue."""
        try:
            await self._write_rows([one for one in batch if one.polled is not None])
        except ClockError as error:
            log.error("readings.refused", why=error.what, remedy=error.remedy)  # noqa: TRY400 - nothing to trace
            batch = await self._put_back_future(batch, polls)
            await self._write_rows([one for one in batch if one.polled is not None])
        await self._finish([one.job_id for one in batch])
        polls.done(batch)
        polled = [one.polled for one in batch if one.polled is not None]
        self.polls += len(polled)
        self.observer.written(polled)

    async def _write_rows(self, batch: Sequence[FinishedJob]) -> None:
        polled = [one.polled for one in batch if one.polled is not None]
        if not polled:
            return
        try:
            await self.outage.run_with_retry(partial(self.fleet.write, polled, new=True), give_up=self._may_give_up)
        except DatabaseError:
            self.lost += len(polled)
            log.exception("readings.lost", readings=len(polled))
            raise

    async def _put_back_future(self, batch: Sequence[FinishedJob], polls: Dispatcher) -> Sequence[FinishedJob]:
        """Put back the jobs whose readings are dated in the future by PostgreSQL's clock; the rest of the batch."""
        await self.outage.run_with_retry(self.database.read_clock, give_up=self._may_give_up)
        latest = self.database.clock.now() + timedelta(seconds=TOLERANCE_SECONDS / 2)
        future = [one for one in batch if one.polled is not None and _latest(one.polled.snapshot) > latest]
        job_ids = [one.job_id for one in future]
        await self.outage.run_with_retry(partial(self.queue.requeue, job_ids), give_up=self._may_give_up)
        polls.done(future)
        self.observer.requeue("clock", len(future))
        return [one for one in batch if one not in future]

    async def _finish(self, job_ids: Sequence[int]) -> None:
        try:
            await self.outage.run_with_retry(partial(self.queue.finish, job_ids), give_up=self._may_give_up)
        except DatabaseError as error:
            if not error.passing:
                raise
            # Given up: another worker finds these jobs silent, and their slots polled.

    def _may_give_up(self) -> bool:
        return time.monotonic() >= self.give_up_at


def _latest(snapshot: Snapshot) -> datetime:
    return snapshot.slot if snapshot.polled_at is None else max(snapshot.slot, snapshot.polled_at)
