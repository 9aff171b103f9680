"""PostgreSQL's time without a query for every use: read now and then, and continued by the monotonic clock.

A wall clock of this machine that is wrong or jumps has no effect. This module never sets a clock, waits or logs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.core.clock import after_reading, certain_difference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.core.clock import Offset


class DatabaseClock:
    """This process's estimate of PostgreSQL's clock. Before the first reading it shows this machine's own time."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._known: Offset | None = None
        self._ahead = wall() - monotonic()
        """Seconds to add to the monotonic clock to get seconds since 1970."""

    def seconds(self) -> float:
        """Returns PostgreSQL's time in seconds since 1970."""
        return self._monotonic() + self._ahead

    def now(self) -> datetime:
        """Returns PostgreSQL's time (UTC)."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    async def read(self, clock_timestamp: Callable[[], Awaitable[datetime]]) -> float:
        """Reads PostgreSQL's clock by `clock_timestamp()` and returns by how many seconds the estimate moved."""
        sent_at = self._monotonic()
        theirs = (await clock_timestamp()).timestamp()
        first, before = self._known is None, self._ahead
        self._known = after_reading(self._known, sent_at, theirs, self._monotonic())
        self._ahead = self._known.seconds
        return 0.0 if first else self._ahead - before

    @property
    def doubt_seconds(self) -> float:
        """The possible error of the estimate: half the round trip of the quickest reading."""
        return 0.0 if self._known is None else self._known.doubt_seconds

    @property
    def machine_ahead_seconds(self) -> float:
        """How far this machine's wall clock is ahead of PostgreSQL's; negative if it is behind."""
        return self._wall() - self.seconds()

    @property
    def machine_wrong_seconds(self) -> float:
        """`machine_ahead_seconds` if it certainly exceeds the tolerance, else 0.0."""
        return certain_difference(self.machine_ahead_seconds, self.doubt_seconds)
