"""Measures how slow the machine is while a test runs, for tests that compare times."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database

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
async def measured_lag(database: Database) -> AsyncIterator[Lag]:
    """Measures for the length of a `with` block."""
    lag, loop = Lag(), asyncio.get_running_loop()

    async def measure() -> None:
        while True:
            begun = loop.time()
            await asyncio.sleep(_PAUSE_SECONDS)
            await database.fetchval("SELECT 1")
            lag.seconds = max(lag.seconds, loop.time() - begun - _PAUSE_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        measuring = tasks.create_task(measure())
        try:
            yield lag
        finally:
            measuring.cancel()
