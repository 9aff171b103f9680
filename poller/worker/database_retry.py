"""When PostgreSQL goes away: try again with growing pauses, say so once, and say once that it is back.

It waits for what may pass and for nothing else: a schema that is behind or a right that is missing is raised at once.
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
"""Jitter shortens each pause by up to half, so that workers do not come back all at once."""

log = structlog.get_logger("poller.worker")


def _never() -> bool:
    return False


class DatabaseRetry:
    """What this process knows of its database's trouble."""

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
        self._troubled = 0
        self._since = 0.0
        self._last_error: DatabaseError | None = None
        self.abandoned = False
        """Set where nobody is going to wait any more: whatever fails from then on is raised."""

    @property
    def is_on(self) -> bool:
        """Whether anything waits for the database just now."""
        return self._troubled > 0

    @property
    def why(self) -> str | None:
        """What PostgreSQL said last while something waits for it; None where nothing does."""
        return self._last_error.what if self.is_on and self._last_error is not None else None

    async def run_with_retry(self, do: Callable[[], Awaitable[T]], *, give_up: Callable[[], bool] = _never) -> T:
        """Do it, again and again until it can be done; the error, where it cannot pass or `give_up` says so."""
        pause = 0.0
        away = False
        try:
            while True:
                try:
                    return await do()
                except DatabaseError as error:
                    self._count()
                    if not error.passing or self.abandoned or give_up():
                        raise
                    if isinstance(error, LockedError):
                        # PostgreSQL is well, and so is whatever else this worker asks it.
                        if not pause:
                            log.warning("database.locked", why=error.what, remedy=error.remedy)
                    else:
                        self._last_error = error
                        if not away:
                            away = True
                            self._begins(error)
                    pause = min(pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
                    await self._sleep(pause * (1 - self._jitter() / 2))
        finally:
            if away:
                self._ends()

    def _begins(self, error: DatabaseError) -> None:
        self._troubled += 1
        if self._troubled == 1:
            self._since = self._clock()
            log.error("database.away", why=error.what, remedy=error.remedy)

    def _ends(self) -> None:
        self._troubled -= 1
        if not self._troubled:
            log.info("database.back", seconds=round(self._clock() - self._since, 1))
