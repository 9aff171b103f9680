"""Measures how slow the machine is while a test runs, for tests that compare times."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PAUSE_SECONDS: Final = 0.05
_STEPS: Final = 10
"""A poll waits for the event loop and the database about as often."""


@dataclass
class Lag:
    """The longest delay of a step, which is a pause and a query: a few milliseconds on an idle machine."""

    seconds: float = 0.0

    @property
    def of_a_poll(self) -> float:
        """The seconds by which such delays can make a poll late."""
        return _STEPS * self.seconds


@asynccontextmanager
async def measured_lag(database_url: str) -> AsyncIterator[Lag]:
    """Measures for the length of a `with` block.

    A thread measures, with an event loop and a connection of its own: a worker of this process that blocks its event
    loop is late because of itself and not because of the machine.
    """
    lag, stopping = Lag(), threading.Event()

    async def measure() -> None:
        loop, connection = asyncio.get_running_loop(), await asyncpg.connect(database_url)
        try:
            while not stopping.is_set():
                begun = loop.time()
                await asyncio.sleep(_PAUSE_SECONDS)
                await connection.fetchval("SELECT 1")
                lag.seconds = max(lag.seconds, loop.time() - begun - _PAUSE_SECONDS)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(asyncio.run, measure()))
        try:
            yield lag
        finally:
            stopping.set()
