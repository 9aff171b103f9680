"""Measures the limiter alone: the time per request, and the memory per org."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.machine import CLIENT_CPU, pinned
from poller.core.editions import Limits
from poller.core.rate_limit import INITIAL, reserve
from poller.zoho.limiter import Limiter, OrgLimiter, steady_clock

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: Final = 200_000
ORGS: Final = 50_000
MOST_MICROSECONDS: Final = 1.0
MOST_BYTES: Final = 200
_LIMITS: Final = Limits(in_flight=10, rate=1e9)


async def measure(rounds: int, orgs: int | None) -> None:
    """Print the table."""
    with pinned(CLIENT_CPU):
        deciding = median(_decide() for _ in range(rounds))
        free = [await _acquire_and_release(1) for _ in range(rounds)]
        crowded = [await _acquire_and_release(64) for _ in range(rounds)]
    show(
        "The limiter",
        [
            Figure("may this request leave, µs", deciding, "{:.2f}", at_most=MOST_MICROSECONDS),
            Figure("- and its permit there and back, µs", median(free), "{:.2f}", at_most=MOST_MICROSECONDS),
            Figure("- each waiting for 63 others, µs", median(crowded), "{:.2f}"),
            Figure(
                "bytes an org that was asked", _bytes(orgs or ORGS, 0.001, lambda _: None), "{:.0f}", at_most=MOST_BYTES
            ),
            Figure(
                "bytes an org that was throttled",
                _bytes(orgs or ORGS, 10.0, lambda line: line.throttle(60.0)),
                "{:.0f}",
                at_most=MOST_BYTES,
            ),
        ],
        [f"{OPERATIONS:,} requests a round, medians of {rounds}; bytes by tracemalloc over {orgs or ORGS:,} orgs."],
    )


def _decide() -> float:
    """Microseconds per reservation, including the call of the clock."""
    now, state = steady_clock(), INITIAL
    started = time.process_time()
    for _ in range(OPERATIONS):
        state, _ = reserve(state, now(), _LIMITS)
    return 1e6 * (time.process_time() - started) / OPERATIONS


async def _acquire_and_release(side_by_side: int) -> float:
    """Microseconds per `acquire` and `release`; with several orgs, all of them wait for the only permit in turn."""
    limiter = Limiter(1)
    each = OPERATIONS // side_by_side

    async def ask(org: OrgLimiter) -> None:
        for _ in range(each):
            await org.acquire()
            if side_by_side > 1:
                await asyncio.sleep(0)
            org.release()

    orgs = [limiter.org(number, _LIMITS) for number in range(side_by_side)]
    started = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for org in orgs:
            tasks.create_task(ask(org.__enter__()))
    spent = time.process_time() - started
    for org in orgs:
        org.__exit__(None, None, None)
    return 1e6 * spent / (each * side_by_side)


def _bytes(orgs: int, rate: float, teach: Callable[[OrgLimiter], None]) -> float:
    """The memory that the limiter needs per org after its poll, including the dictionary.

    An idle org needs none. With a slow `rate`, an org is not idle until the spacing of its requests has passed.
    """
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    limiter = Limiter(64)
    for number in range(1_000_000, 1_000_000 + orgs):
        with limiter.org(number, Limits(in_flight=10, rate=rate)) as org:
            org.state, _ = reserve(org.state, limiter.now(), org.limits)
            teach(org)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert limiter is not None
    return (after - before) / orgs
