"""Log events that strangers can cause: at most one line a minute for each, with the number since the last one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS: Final = 60.0

log = structlog.get_logger("poller.web")


class RateLimitedLog:
    """Counts events by name and writes the first of each minute at level `info`."""

    def __init__(self, now: Callable[[], float] = time.monotonic, every_seconds: float = EVERY_SECONDS) -> None:
        self._now = now
        self._every_seconds = every_seconds
        self._written_at: dict[str, float] = {}
        self._unwritten: dict[str, int] = {}

    def event(self, name: str, **facts: object) -> None:
        """Writes the event, or counts it for the next line of that name. `name` must come from a fixed set."""
        now = self._now()
        count = self._unwritten.get(name, 0) + 1
        if now - self._written_at.get(name, -self._every_seconds) < self._every_seconds:
            self._unwritten[name] = count
            return
        self._written_at[name] = now
        self._unwritten[name] = 0
        log.info(name, count=count, **facts)
