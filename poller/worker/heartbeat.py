"""Heartbeats of a worker: to other workers, to systemd, and to detect that this process itself stood still.

A process that was stopped for a while (SIGSTOP, a suspended machine) must know this before it does anything else: other
workers have taken over its jobs by then.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from poller.core.errors import DatabaseError
from poller.store.queue.workers import heartbeat_worker
from poller.worker.systemd import ALIVE, notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from poller.core.fleet import WorkerRecord
    from poller.store.database import Database
    from poller.store.queue.jobs import JobQueue
    from poller.worker.config import WorkerConfig
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.dispatcher import Dispatcher

log = structlog.get_logger("poller.worker")


class Heartbeats:
    """Three endless loops."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        dispatcher: Dispatcher,
        database_retry: DatabaseRetry,
        config: WorkerConfig,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._database = database
        self._queue = queue
        self._dispatcher = dispatcher
        self._database_retry = database_retry
        self._config = config
        self._sleep = sleep

    async def heartbeat_jobs(self, job_ids: Callable[[], Sequence[int]]) -> None:
        """Sends a heartbeat for the jobs of this worker every few seconds, over a connection of its own.

        However slow PostgreSQL is, a heartbeat waits for no other statement and for no new connection.
        """
        loop = asyncio.get_running_loop()
        async with self._database.reserved() as reserved:
            while True:
                sent_at = loop.time()
                await self._database_retry.run(lambda: self._queue.heartbeat_jobs(job_ids(), reserved))
                self._dispatcher.jobs.note_heartbeat(sent_at)
                await self._sleep(max(self._config.heartbeat_timeout_seconds / 6 - (loop.time() - sent_at), 0.0))

    async def heartbeat_worker(self, record: Callable[[], WorkerRecord]) -> None:
        """Writes the row of this worker, which `poller status` shows, every few seconds."""
        while True:
            await self._database_retry.run(partial(heartbeat_worker, self._database, record()))
            await self._sleep(self._config.worker_heartbeat_seconds)

    async def watch_for_stall(self) -> None:
        """Cancels all polls and returns their jobs if this process stood still for too long."""
        loop = asyncio.get_running_loop()
        while True:
            notify(ALIVE)
            ticked: asyncio.Future[float] = loop.create_future()
            interval = min(1.0, self._config.heartbeat_timeout_seconds / 6, (watchdog_seconds() or math.inf) / 2)
            loop.call_later(interval, self._tick, loop.time(), ticked)
            seconds = await ticked
            if self._is_stall(seconds):
                log.warning("worker.frozen", seconds=round(seconds, 1))
                with suppress(DatabaseError):
                    await self._dispatcher.release_all()

    def _tick(self, before: float, ticked: asyncio.Future[float]) -> None:
        """A loop callback, so it runs before any task resumes: after a stall no task repeats a request."""
        seconds = asyncio.get_running_loop().time() - before
        if self._is_stall(seconds):
            self._dispatcher.cancel_all()
        if not ticked.done():
            ticked.set_result(seconds)

    def _is_stall(self, seconds: float) -> bool:
        return seconds > self._config.heartbeat_timeout_seconds / 2
