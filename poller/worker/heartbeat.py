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
from poller.store.queue.workers import say_alive
from poller.worker.systemd import ALIVE, notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from poller.store.database import Database
    from poller.store.queue.jobs import JobQueue
    from poller.store.queue.workers import WorkerRecord
    from poller.worker.config import Pace
    from poller.worker.database_retry import Outage
    from poller.worker.dispatcher import Polls

log = structlog.get_logger("poller.worker")


class Vitals:
    """Three loops, each without an end."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        polls: Polls,
        outage: Outage,
        pace: Pace,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._database = database
        self._queue = queue
        self._polls = polls
        self._outage = outage
        self._pace = pace
        self._sleep = sleep

    async def beat(self, held: Callable[[], Sequence[int]]) -> None:
        """Tell the queue again and again which jobs are in hand, over a connection that nothing else uses.

        However slow PostgreSQL is, a beat waits for no other statement and for no new connection.
        """
        loop = asyncio.get_running_loop()
        async with self._database.reserved() as reserved:
            while True:
                sent_at = loop.time()
                await self._outage.weather(lambda: self._queue.beat(held(), reserved))
                self._polls.note_beat(sent_at)
                await self._sleep(max(self._pace.silence_seconds / 6 - (loop.time() - sent_at), 0.0))

    async def say_alive(self, record: Callable[[], WorkerRecord]) -> None:
        """Tell whoever asks for the workers that this is one."""
        while True:
            await self._outage.weather(partial(say_alive, self._database, record()))
            await self._sleep(self._pace.presence_seconds)

    async def watch_for_freezing(self) -> None:
        """Let go of the polls under way where this process stood still for longer than the others wait for it."""
        loop = asyncio.get_running_loop()
        while True:
            notify(ALIVE)
            looked: asyncio.Future[float] = loop.create_future()
            pause = min(1.0, self._pace.silence_seconds / 6, (watchdog_seconds() or math.inf) / 2)
            loop.call_later(pause, self._look, loop.time(), looked)
            seconds = await looked
            if self._is_frozen(seconds):
                log.warning("worker.frozen", seconds=round(seconds, 1))
                with suppress(DatabaseError):
                    await self._polls.let_go()

    def _look(self, before: float, looked: asyncio.Future[float]) -> None:
        """A timer's call: it comes before any task's turn, so that none that wakes sends what others have sent."""
        seconds = asyncio.get_running_loop().time() - before
        if self._is_frozen(seconds):
            self._polls.break_off()
        if not looked.done():
            looked.set_result(seconds)

    def _is_frozen(self, seconds: float) -> bool:
        return seconds > self._pace.silence_seconds / 2
