"""Limits the requests of each org: how many are in flight, how close together they are sent, and none during a hold.

Every org has a queue of its own, first in, first out. Only the first request of a queue, once the org's own limits
allow it, asks for one of the process's permits. So an org that Zoho throttles delays no other org. The permits are
shared among the data centres (`core.shares`), so that one that hangs cannot take them all. The arithmetic is in
`core.rate_limit`; this module only waits.

Starts no background task, and forgets an org as soon as its rate limit state equals the initial one. The caller decides
whether a wait is worth it: `would_wait` returns how long it would be, and `acquire` gives up if it exceeds `max_wait`.
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

    from poller.core.editions import Limits
    from poller.core.rate_limit import RateLimitState
    from poller.zoho.concurrency_limit import DataCenterPermits

_MIN_SWEEP_SIZE: Final = 1_024
"""With fewer remembered states than this, looking for those to forget is not worth the time."""


def steady_clock() -> Callable[[], float]:
    """Returns a clock of seconds since 1970 that never steps back: the wall clock once, then the monotonic one."""
    monotonic = time.monotonic
    offset = time.time() - monotonic()
    return lambda: monotonic() + offset


class Limiter:
    """The limits of one process: `concurrency` permits for all orgs, and a limiter per org.

    `waited`, if given, is called after every request that could not be sent at once, with the seconds it waited, also
    if the request then gave up.
    """

    def __init__(
        self,
        concurrency: int,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waited: Callable[[float], None] | None = None,
    ) -> None:
        self.waited = waited
        self.now = now or steady_clock()
        self.sleep = sleep
        self.permits = ConcurrencyLimit(concurrency)
        self.share_out = self.permits.share_out
        self._in_use: dict[int, OrgLimiter] = {}
        self._remembered: dict[int, RateLimitState] = {}
        self._sweep_at = _MIN_SWEEP_SIZE

    @contextmanager
    def org(
        self, org_id: int, limits: Limits, state: RateLimitState = INITIAL, *, data_center: str = ""
    ) -> Iterator[OrgLimiter]:
        """The limiter of one org, for the duration of a poll; overlapping polls of one org share it.

        `state` is the rate limit state that the store has of this org; afterwards, store the limiter's own `state`.
        """
        limiter = self._in_use.get(org_id)
        if limiter is None:
            permits = self.permits.of(data_center)
            limiter = OrgLimiter(self, limits, self._remembered.pop(org_id, INITIAL), permits)
            self._in_use[org_id] = limiter
        limiter.state = stricter_of(limiter.state, state)
        limiter.refs += 1
        try:
            yield limiter
        finally:
            limiter.refs -= 1
            if not limiter.refs:
                del self._in_use[org_id]
                self._remember(org_id, limiter.state)

    def _remember(self, org_id: int, state: RateLimitState) -> None:
        now = self.now()
        if not is_idle(state, now):
            self._remembered[org_id] = compact(state)
        if len(self._remembered) > self._sweep_at:
            self._remembered = {org: kept for org, kept in self._remembered.items() if not is_idle(kept, now)}
            self._sweep_at = max(2 * len(self._remembered), _MIN_SWEEP_SIZE)


class OrgLimiter:
    """The limiter of one org. `state` is its rate limit state, updated by the org's replies.

    A caller with little time uses `acquire(max_wait)` and, if that returns 0.0, `release()` when the request is done.
    A caller that can wait as long as necessary uses `async with`.
    """

    __slots__ = (
        "_free",
        "_lock",
        "_now",
        "_part",
        "_permits",
        "_process",
        "_queued",
        "_waiters",
        "limits",
        "refs",
        "state",
    )

    def __init__(self, process: Limiter, limits: Limits, state: RateLimitState, permits: DataCenterPermits) -> None:
        self._process = process
        self._permits = permits
        self._part = permits.part
        self._now = process.now
        self._free = limits.in_flight
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._queued = False
        """True while this org is in its data centre's queue for a permit."""
        self._lock = asyncio.Lock()
        """Held by the request that waits for the rate limit; later requests wait for the lock."""
        self.limits = limits
        self.state = state
        self.refs = 0

    @property
    def in_flight(self) -> int:
        """How many requests of this org may be in flight."""
        return self.limits.in_flight

    def would_wait(self, requests: int = 1) -> float:
        """Seconds until hold and spacing would allow the last of `requests` requests."""
        return would_wait(self.state, self._now(), self.limits, requests)

    async def acquire(self, max_wait: float = math.inf) -> float:
        """Wait until a request may be sent: 0.0 if it may be sent now, else the wait that exceeds `max_wait` seconds.

        Only waits for the rate limit count: a place in flight and a permit become free within the time of a request.
        """
        if self._free and self._part.is_free and not self._lock.locked() and self._reserve():
            return 0.0
        waited = self._process.waited
        if waited is None:
            return await self._wait(max_wait)
        started_at = self._now()
        wait = await self._wait(max_wait)
        waited(self._now() - started_at)
        return wait

    def release(self) -> None:
        """Give the place and the permit of a finished request back."""
        self._free += 1
        self._part.give_back()
        if self._waiters:
            self._enqueue()
        pool = self._permits.pool
        if pool.waiting:
            pool.wake_next()

    def throttle(self, retry_after_seconds: float | None = None) -> None:
        """After a 429: hold the org and halve its rate."""
        self.state = throttled(self.state, self._now(), retry_after_seconds)

    def recover(self) -> None:
        """After a poll without a 429: one step back towards the full rate."""
        self.state = recovered(self.state)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def grant_next(self) -> None:
        """Grant a permit to the first waiter, or wake it with False if the rate limit forbids its request by now."""
        self._queued = False
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(self._reserve())
                break
        self._enqueue()

    async def _wait(self, max_wait: float) -> float:
        """Returns 0.0 with everything reserved for the request, or the wait that exceeds `max_wait`."""
        if not self._lock.locked() and self.would_wait() == 0.0 and await self._wait_for_permit():
            return 0.0
        async with self._lock:
            while True:
                wait = self.would_wait()
                if wait > max_wait:
                    return wait
                if wait > 0.0:
                    await self._process.sleep(wait)
                elif await self._wait_for_permit():
                    return 0.0

    async def _wait_for_permit(self) -> bool:
        """Waits for a place in flight and a permit; False if the rate limit forbids the request when both are free."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._enqueue()
        self._permits.pool.wake_next()
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():
                self.release()
            raise

    def _enqueue(self) -> None:
        if self._waiters and self._free and not self._queued:
            self._queued = True
            self._permits.enqueue(self)

    def _reserve(self) -> bool:
        """Takes a place in flight, a permit and a place in the spacing: all of them or none."""
        self.state, wait = reserve(self.state, self._now(), self.limits)
        if wait > 0.0:
            return False
        self._free -= 1
        self._part.take()
        return True
