"""A worker's signs of life: to the others, that its jobs are not theirs yet; to systemd; and to itself.

A process that was stopped for a while (SIGSTOP, a suspended machine) has to know it before it does anything else: it
was taken for dead, and what it had in hand is others' by now.
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
    """Three loops, each without an end."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        polls: Dispatcher,
        outage: DatabaseRetry,
        pace: WorkerConfig,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._database = database
        self._queue = queue
        self._polls = polls
        self._outage = outage
        self._pace = pace
        self._sleep = sleep

    async def heartbeat_jobs(self, held: Callable[[], Sequence[int]]) -> None:
        """Tell the queue again and again which jobs are in hand, over a connection that nothing else uses.

        However slow PostgreSQL is, a beat waits for no other statement and for no new connection.
        """
        loop = asyncio.get_running_loop()
        async with self._database.reserved() as reserved:
            while True:
                sent_at = loop.time()
                await self._outage.run_with_retry(lambda: self._queue.heartbeat_jobs(held(), reserved))
                self._polls.note_beat(sent_at)
                await self._sleep(max(self._pace.heartbeat_timeout_seconds / 6 - (loop.time() - sent_at), 0.0))

    async def heartbeat_worker(self, record: Callable[[], WorkerRecord]) -> None:
        """Tell whoever asks for the workers that this is one."""
        while True:
            await self._outage.run_with_retry(partial(heartbeat_worker, self._database, record()))
            await self._sleep(self._pace.worker_heartbeat_seconds)

    async def watch_for_stall(self) -> None:
        """Let go of the polls under way where this process stood still for longer than the others wait for it."""
        loop = asyncio.get_running_loop()
        while True:
            notify(ALIVE)
            looked: asyncio.Future[float] = loop.create_future()
            pause = min(1.0, self._pace.heartbeat_timeout_seconds / 6, (watchdog_seconds() or math.inf) / 2)
            loop.call_later(pause, self._tick, loop.time(), looked)
            seconds = await looked
            if self._is_frozen(seconds):
                log.warning("worker.frozen", seconds=round(seconds, 1))
                with suppress(DatabaseError):
                    await self._polls.release_all()

    def _tick(self, before: float, looked: asyncio.Future[float]) -> None:
        """A timer's call: it comes before any task's turn, so that none that wakes sends what others have sent."""
        seconds = asyncio.get_running_loop().time() - before
        if self._is_frozen(seconds):
            self._polls.cancel_all()
        if not looked.done():
            looked.set_result(seconds)

    def _is_frozen(self, seconds: float) -> bool:
        return seconds > self._pace.heartbeat_timeout_seconds / 2
