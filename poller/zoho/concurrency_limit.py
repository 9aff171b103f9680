"""Limits the requests of a process that are in flight, and shares them among the data centres.

An org that waits for a permit waits in the queue of its data centre. Rate limits of orgs are the limiter's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from poller.core.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.shares import Part


class Waiting(Protocol):
    """An org that waits for a permit."""

    def grant_next(self) -> None:
        """Take a permit for the org's first waiting request, if its rate limit still allows the request."""


class ConcurrencyLimit:
    """Allows `count` requests in flight, of all orgs together, shared among the data centres.

    With one semaphore per limit a request would wait in up to three queues, and each wait costs a turn of the event
    loop. Here it waits once.
    """

    __slots__ = ("_of", "_shares", "waiting")

    def __init__(self, count: int) -> None:
        self._shares = Shares(count)
        self._of: dict[str, DataCenterPermits] = {}
        self.waiting: deque[DataCenterPermits] = deque()
        """The data centres whose orgs wait; each gets one permit in turn."""

    def of(self, data_center: str) -> DataCenterPermits:
        """The permits of one data centre."""
        permits = self._of.get(data_center)
        if permits is None:
            permits = self._of[data_center] = DataCenterPermits(self, self._shares.part(data_center))
        return permits

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Reserve permits for each data centre, in proportion to its polls."""
        self._shares.share_out(demand)
        self.wake_next()

    def locked(self) -> bool:
        """True if no common permit is free."""
        return self._shares.common <= 0

    def wake_next(self) -> None:
        """Give the free permits to waiting orgs, one to each data centre in turn."""
        waiting, shares, skipped = self.waiting, self._shares, 0
        # Usually one permit is free, and none afterwards: then no other data centre is looked at.
        while shares.free > 0 and skipped < len(waiting):
            permits = waiting[0]
            waiting.rotate(-1)
            if not permits.part.is_free:
                skipped += 1
                continue
            skipped = 0
            permits.waiters.popleft().grant_next()
            if not permits.waiters:
                waiting.remove(permits)


class DataCenterPermits:
    """The permits of one data centre, and the queue of its orgs that wait for one; no org is in it twice."""

    __slots__ = ("part", "pool", "waiters")

    def __init__(self, pool: ConcurrencyLimit, part: Part) -> None:
        self.pool = pool
        self.part = part
        self.waiters: deque[Waiting] = deque()

    def enqueue(self, org: Waiting) -> None:
        """Add an org to the queue."""
        if not self.waiters and self not in self.pool.waiting:
            self.pool.waiting.append(self)
        self.waiters.append(org)
