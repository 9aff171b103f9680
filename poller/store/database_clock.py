"""The time according to PostgreSQL, without a query for each look: read now and then, and counted on in between.

Between two readings the time goes on with this machine's monotonic clock, so a wall clock that is wrong or jumps
changes nothing. It refuses to set any clock, to wait and to log.
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
    """PostgreSQL's clock as this process knows it. Until the first reading it shows this machine's own time."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._known: Offset | None = None
        self._ahead = wall() - monotonic()
        """Of the monotonic clock: what to add for seconds since 1970."""

    def seconds(self) -> float:
        """PostgreSQL's time in seconds since 1970."""
        return self._monotonic() + self._ahead

    def now(self) -> datetime:
        """PostgreSQL's time (UTC)."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    async def read(self, clock_timestamp: Callable[[], Awaitable[datetime]]) -> float:
        """Read PostgreSQL's clock by `clock_timestamp()`; by how many seconds that moved our idea of the time."""
        sent_at = self._monotonic()
        theirs = (await clock_timestamp()).timestamp()
        first, before = self._known is None, self._ahead
        self._known = after_reading(self._known, sent_at, theirs, self._monotonic())
        self._ahead = self._known.seconds
        return 0.0 if first else self._ahead - before

    @property
    def doubt_seconds(self) -> float:
        """How wrong the time may be: half of what the quickest reading took."""
        return 0.0 if self._known is None else self._known.doubt_seconds

    @property
    def machine_ahead_seconds(self) -> float:
        """How far this machine's wall clock is ahead of PostgreSQL's; below 0 where it is behind."""
        return self._wall() - self.seconds()

    @property
    def machine_wrong_seconds(self) -> float:
        """The same where it is certainly more than the tolerance, else 0.0."""
        return certain_difference(self.machine_ahead_seconds, self.doubt_seconds)
