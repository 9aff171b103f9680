"""Writes results: first the rows, then their jobs leave the queue.

If a worker dies between the two, the next worker finds that the slots are polled. While PostgreSQL is unreachable,
results stay in memory until the worker has to stop.
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
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.runner import PollRunner
    from poller.store.database import Database
    from poller.store.queue.jobs import JobQueue
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.dispatcher import Dispatcher
    from poller.worker.finished_job import FinishedJob

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class ResultWriter:
    """Writes batches of finished jobs."""

    database: Database
    runner: PollRunner
    queue: JobQueue
    database_retry: DatabaseRetry
    instrumentation: Instrumentation
    polls: int = 0
    """The number of rows written."""
    lost_rows: int = 0
    """The number of results that could not be written."""
    give_up_at: float = math.inf
    """On the monotonic clock: from then on no statement is repeated."""

    async def write(self, batch: Sequence[FinishedJob], dispatcher: Dispatcher) -> None:
        """Writes the rows and finishes the jobs. Results dated in the future are dropped, and their jobs go back."""
        try:
            await self._write_rows([one for one in batch if one.result is not None])
        except ClockError as error:
            log.error("readings.refused", why=error.what, remedy=error.remedy)  # noqa: TRY400 - nothing to trace
            batch = await self._put_back_future(batch, dispatcher)
            await self._write_rows([one for one in batch if one.result is not None])
        await self._finish([one.job_id for one in batch])
        dispatcher.done(batch)
        results = [one.result for one in batch if one.result is not None]
        self.polls += len(results)
        self.instrumentation.results_committed(results)

    async def _write_rows(self, batch: Sequence[FinishedJob]) -> None:
        results = [one.result for one in batch if one.result is not None]
        if not results:
            return
        try:
            await self.database_retry.run(partial(self.runner.commit, results, new=True), stop_when=self._gave_up)
        except DatabaseError:
            self.lost_rows += len(results)
            log.exception("readings.lost", readings=len(results))
            raise

    async def _put_back_future(self, batch: Sequence[FinishedJob], dispatcher: Dispatcher) -> Sequence[FinishedJob]:
        """Puts jobs back whose results are dated in the future by PostgreSQL's clock; returns the rest of the batch."""
        await self.database_retry.run(self.database.read_clock, stop_when=self._gave_up)
        latest = self.database.clock.now() + timedelta(seconds=TOLERANCE_SECONDS / 2)
        future = [one for one in batch if one.result is not None and _latest(one.result.snapshot) > latest]
        job_ids = [one.job_id for one in future]
        await self.database_retry.run(partial(self.queue.requeue, job_ids), stop_when=self._gave_up)
        dispatcher.done(future)
        self.instrumentation.slots_requeued("clock", len(future))
        return [one for one in batch if one not in future]

    async def _finish(self, job_ids: Sequence[int]) -> None:
        try:
            await self.database_retry.run(partial(self.queue.finish, job_ids), stop_when=self._gave_up)
        except DatabaseError as error:
            if not error.passing:
                raise
            # Another worker takes these jobs over, and finds that their slots are polled.

    def _gave_up(self) -> bool:
        return time.monotonic() >= self.give_up_at


def _latest(snapshot: Snapshot) -> datetime:
    return snapshot.slot if snapshot.polled_at is None else max(snapshot.slot, snapshot.polled_at)
