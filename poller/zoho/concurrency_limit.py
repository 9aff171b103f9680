"""The permits of one process: how many requests may be in flight, shared out by data centre.

An org that waits stands in the line of its data centre. It refuses to look at quotas: that is the limiter's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from poller.core.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.shares import Part


class Waiting(Protocol):
    """An org that stands in line."""

    def grant_next(self) -> None:
        """Take a permit for the org's first waiting request, if its quota still lets it leave."""


class ConcurrencyLimit:
    """So many requests of all orgs together, shared out by data centre; the lines of those that wait for one.

    With semaphores a request waited in up to three queues, one after the other, and each wait is a turn of the loop.
    Here it waits once.
    """

    __slots__ = ("_of", "_shares", "waiting")

    def __init__(self, count: int) -> None:
        self._shares = Shares(count)
        self._of: dict[str, DataCenterPermits] = {}
        self.waiting: deque[DataCenterPermits] = deque()
        """Those with orgs in line; each gets one permit in turn."""

    def of(self, data_center: str) -> DataCenterPermits:
        """The permits of one data centre."""
        permits = self._of.get(data_center)
        if permits is None:
            permits = self._of[data_center] = DataCenterPermits(self, self._shares.part(data_center))
        return permits

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Reserve permits for each data centre, by its part of all polls."""
        self._shares.share_out(demand)
        self.wake_next()

    def locked(self) -> bool:
        """Whether there is none at the moment."""
        return self._shares.common <= 0

    def wake_next(self) -> None:
        """Give what is free to those in line, one permit to each data centre in turn."""
        waiting, skipped = self.waiting, 0
        while skipped < len(waiting):
            permits = waiting[0]
            waiting.rotate(-1)
            if not permits.part.is_free:
                skipped += 1
                continue
            skipped = 0
            permits.line.popleft().grant_next()
            if not permits.line:
                waiting.remove(permits)


class DataCenterPermits:
    """The permits of one data centre; its orgs that wait for one stand in line, each once at a time."""

    __slots__ = ("line", "part", "pool")

    def __init__(self, pool: ConcurrencyLimit, part: Part) -> None:
        self.pool = pool
        self.part = part
        self.line: deque[Waiting] = deque()

    def queue(self, org: Waiting) -> None:
        """Put an org in line."""
        if not self.line and self not in self.pool.waiting:
            self.pool.waiting.append(self)
        self.line.append(org)
