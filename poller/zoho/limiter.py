"""Waiting for an org's quota: so many requests in flight, spaced, and none before a hold ends.

Every org has a line of its own, first come first served; only the head of it, when its own org lets it go, asks for one
of the process's permits. So an org that Zoho throttled keeps nobody waiting but itself. The permits are shared out by
data centre (`core.shares`), so that one that hangs leaves the others theirs. The arithmetic is `core.quota`'s; here is
the waiting.

It refuses to run anything in the background, to remember orgs whose quota has nothing to tell, and to decide whether
a wait is worth it: `would_wait` says how long it would be, `enter` gives up rather than outwait the caller's patience.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from poller.core.rate_limit import INITIAL, compact, is_idle, recovered, reserve, stricter_of, throttled, would_wait
from poller.zoho.concurrency_limit import ConcurrencyLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from poller.core.rate_limit import Limits, RateLimitState
    from poller.zoho.concurrency_limit import DataCenterPermits

_FEWEST_REMEMBERED: Final = 1_024
"""Below this many remembered quotas it is not worth looking for those that may be forgotten."""


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970 that never step back: the wall clock once, then the monotonic one."""
    monotonic = time.monotonic
    offset = time.time() - monotonic()
    return lambda: monotonic() + offset


class Limiter:
    """The limits of one process: `concurrency` permits for all, and a line per org.

    `waited` is told of every request that could not leave at once: the seconds until it could, or gave up.
    """

    def __init__(
        self,
        concurrency: int,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waited: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.waited = waited
        self.now = now or steady_clock()
        self.sleep = sleep
        self.permits = ConcurrencyLimit(concurrency)
        self.share_out = self.permits.share_out
        self._in_use: dict[int, OrgLimiter] = {}
        self._remembered: dict[int, RateLimitState] = {}
        self._sweep_at = _FEWEST_REMEMBERED

    @contextmanager
    def org(
        self, org_id: int, limits: Limits, quota: RateLimitState = INITIAL, *, data_center: str = ""
    ) -> Iterator[OrgLimiter]:
        """The line of one org, for the length of a poll; polls of one org that overlap share it.

        `quota` is what the store knows of this org; afterwards the line's own `quota` is what to store.
        """
        line = self._in_use.get(org_id)
        if line is None:
            permits = self.permits.of(data_center)
            line = self._in_use[org_id] = OrgLimiter(self, limits, self._remembered.pop(org_id, INITIAL), permits)
        line.quota = stricter_of(line.quota, quota)
        line.users += 1
        try:
            yield line
        finally:
            line.users -= 1
            if not line.users:
                del self._in_use[org_id]
                self._remember(org_id, line.quota)

    def _remember(self, org_id: int, quota: RateLimitState) -> None:
        now = self.now()
        if not is_idle(quota, now):
            self._remembered[org_id] = compact(quota)
        if len(self._remembered) > self._sweep_at:
            self._remembered = {org: kept for org, kept in self._remembered.items() if not is_idle(kept, now)}
            self._sweep_at = max(2 * len(self._remembered), _FEWEST_REMEMBERED)


class OrgLimiter:
    """One org's line. `quota` is what its traffic has taught so far.

    A request that can do without leaving asks `enter(max_wait)` and, if that says 0.0, calls `leave()` once it is done;
    one that would rather wait as long as it takes is sent in an `async with`.
    """

    __slots__ = (
        "_in_line",
        "_limiter",
        "_line",
        "_now",
        "_part",
        "_permits",
        "_room",
        "_turn",
        "limits",
        "quota",
        "users",
    )

    def __init__(self, limiter: Limiter, limits: Limits, quota: RateLimitState, permits: DataCenterPermits) -> None:
        self._limiter = limiter
        self._permits = permits
        self._part = permits.part
        self._now = limiter.now
        self._room = limits.in_flight
        self._line: deque[asyncio.Future[bool]] = deque()
        self._in_line = False
        self._turn = asyncio.Lock()
        """Of the one that waits for the quota; those behind it wait for that."""
        self.limits = limits
        self.quota = quota
        self.users = 0

    @property
    def in_flight(self) -> int:
        """How many requests of this org may be in flight."""
        return self.limits.in_flight

    def would_wait(self, requests: int = 1) -> float:
        """Seconds until the hold and the spacing would let the last of so many requests leave."""
        return would_wait(self.quota, self._now(), self.limits, requests)

    async def enter(self, patience_seconds: float = math.inf) -> float:
        """Wait for this request's turn: 0.0 when it may leave now, else the seconds that were too long to wait for.

        The patience is for the quota; room and permits are given back within the time of a request anyhow.
        """
        if self._room and self._part.is_free and not self._turn.locked() and self._reserve():
            return 0.0
        began = self._now()
        wait = await self._wait(patience_seconds)
        self._limiter.waited(self._now() - began)
        return wait

    def leave(self) -> None:
        """The request is over, however it ended."""
        self._room += 1
        self._part.give_back()
        if self._line:
            self._queue()
        pool = self._permits.pool
        if pool.waiting:
            pool.wake_next()

    def throttle(self, retry_after_seconds: float | None = None) -> None:
        """A 429 came: hold the org and halve its rate."""
        self.quota = throttled(self.quota, self._now(), retry_after_seconds)

    def recover(self) -> None:
        """A poll went by without a 429: back towards the full rate."""
        self.quota = recovered(self.quota)

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def grant_next(self) -> None:
        """There is a permit: the first in line leaves with it, or learns that the quota has changed its mind."""
        self._in_line = False
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(self._reserve())
                break
        self._queue()

    async def _wait(self, patience_seconds: float) -> float:
        """Returns 0.0 with a permit in hand and the request reserved, or the wait that is too long."""
        if not self._turn.locked() and self.would_wait() == 0.0 and await self._wait_in_line():
            return 0.0
        async with self._turn:
            while True:
                wait = self.would_wait()
                if wait > patience_seconds:
                    return wait
                if wait > 0.0:
                    await self._limiter.sleep(wait)
                elif await self._wait_in_line():
                    return 0.0

    async def _wait_in_line(self) -> bool:
        """For room and a permit: whether the quota still let the request go when both were there."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        self._queue()
        self._permits.pool.wake_next()
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():
                self.leave()
            raise

    def _queue(self) -> None:
        if self._line and self._room and not self._in_line:
            self._in_line = True
            self._permits.queue(self)

    def _reserve(self) -> bool:
        """Take room, a permit and a place in the spacing, all at once or none."""
        self.quota, wait = reserve(self.quota, self._now(), self.limits)
        if wait > 0.0:
            return False
        self._room -= 1
        self._part.take()
        return True
