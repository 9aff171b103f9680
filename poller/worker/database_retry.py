"""Retries while PostgreSQL is unreachable, with growing pauses; logs once when an outage begins and once when it ends.

Only transient errors are retried: an outdated schema or a missing right is raised at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from poller.core.errors import DatabaseError, LockedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Jitter shortens each pause by up to half, so that workers do not all come back at the same moment."""

log = structlog.get_logger("poller.worker")


def _never() -> bool:
    return False


class DatabaseRetry:
    """The retries of one process, and whether one is waiting."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._count = count
        self._waiting = 0
        self._since = 0.0
        self._last_error: DatabaseError | None = None
        self.abandoned = False
        """Set when the process ends: from then on every error is raised."""

    @property
    def active(self) -> bool:
        """Whether anything waits for the database at the moment."""
        return self._waiting > 0

    @property
    def why(self) -> str | None:
        """The last error while something waits for the database, else None."""
        return self._last_error.what if self.active and self._last_error is not None else None

    async def run(self, do: Callable[[], Awaitable[T]], *, stop_when: Callable[[], bool] = _never) -> T:
        """Calls `do` until it succeeds. Raises errors that are not transient, and every error once `stop_when()`."""
        pause = 0.0
        outage = False
        try:
            while True:
                try:
                    return await do()
                except DatabaseError as error:
                    self._count()
                    if not error.passing or self.abandoned or stop_when():
                        raise
                    if isinstance(error, LockedError):
                        # PostgreSQL works; only this statement waits for a lock.
                        if not pause:
                            log.warning("database.locked", why=error.what, remedy=error.remedy)
                    else:
                        self._last_error = error
                        if not outage:
                            outage = True
                            self._on_begin(error)
                    pause = min(pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
                    await self._sleep(pause * (1 - self._jitter() / 2))
        finally:
            if outage:
                self._on_end()

    def _on_begin(self, error: DatabaseError) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._since = self._clock()
            log.error("database.away", why=error.what, remedy=error.remedy)

    def _on_end(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            log.info("database.back", seconds=round(self._clock() - self._since, 1))
