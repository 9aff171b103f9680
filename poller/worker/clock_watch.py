"""Watches this machine's clock: a worker whose clock differs from PostgreSQL's does not work until the clocks agree.

PostgreSQL's clock is read every few seconds, and at once when this machine's clock no longer agrees with it. Neither
clock is set.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.clock import TOLERANCE_SECONDS, describe_difference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.store.database import Database
    from poller.worker.database_retry import DatabaseRetry

READ_EVERY_SECONDS: Final = 5.0
COMPARE_EVERY_SECONDS: Final = 0.5
"""A comparison needs no statement."""

log = structlog.get_logger("poller.worker")


class ClockWatch:
    """Whether this machine's clock agrees with PostgreSQL's; calls `stepped` after PostgreSQL's clock has jumped."""

    def __init__(
        self, database: Database, database_retry: DatabaseRetry, *, stepped: Callable[[], Awaitable[None]]
    ) -> None:
        self._database = database
        self._database_retry = database_retry
        self._stepped = stepped
        self._wrong_since: float | None = None

    @property
    def wrong_seconds(self) -> float:
        """How far this machine's clock is ahead (negative: behind) if that is too far to work; else 0.0."""
        return self._database.clock.machine_wrong_seconds

    def not_ready_reason(self) -> str | None:
        """The reason for `/readyz`, or None."""
        seconds = self.wrong_seconds
        return describe_difference(seconds) if seconds else None

    async def run(self) -> None:
        """Reads PostgreSQL's clock every few seconds; logs when the clocks disagree and when they agree again."""
        while True:
            moved = await self._database_retry.run(self._database.read_clock)
            self._report()
            if abs(moved) > TOLERANCE_SECONDS:
                log.warning("worker.clock_stepped", seconds=round(moved, 1))
                await self._database_retry.run(self._stepped)
            await self._wait()

    async def _wait(self) -> None:
        """Waits until the next reading is due, or until the clocks start or stop to agree."""
        was_wrong = bool(self.wrong_seconds)
        next_at = time.monotonic() + READ_EVERY_SECONDS
        for _ in range(round(READ_EVERY_SECONDS / COMPARE_EVERY_SECONDS)):
            await asyncio.sleep(COMPARE_EVERY_SECONDS)
            if bool(self.wrong_seconds) is not was_wrong or time.monotonic() >= next_at:
                return

    def _report(self) -> None:
        seconds = self.wrong_seconds
        if seconds and self._wrong_since is None:
            self._wrong_since = time.monotonic()
            log.error(
                "worker.clock_wrong",
                seconds=round(seconds, 1),
                why=f"{describe_difference(seconds)}: this worker does not work until they agree",
                remedy="set both clocks by NTP (`timedatectl` shows the state)",
            )
        elif not seconds and self._wrong_since is not None:
            log.info("worker.clock_right", seconds=round(time.monotonic() - self._wrong_since, 1))
            self._wrong_since = None
