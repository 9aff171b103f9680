"""The limiter alone: what one request costs of time, and what an org costs of memory."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.machine import CLIENT_CPU, pinned
from poller.core.rate_limit import INITIAL, Limits, reserve
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
        free = [await _enter_and_leave(1) for _ in range(rounds)]
        crowded = [await _enter_and_leave(64) for _ in range(rounds)]
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
    """Microseconds a reservation takes, the look at the clock included."""
    now, quota = steady_clock(), INITIAL
    started = time.process_time()
    for _ in range(OPERATIONS):
        quota, _ = reserve(quota, now(), _LIMITS)
    return 1e6 * (time.process_time() - started) / OPERATIONS


async def _enter_and_leave(side_by_side: int) -> float:
    """Microseconds from `enter` to `leave`; with many side by side there is one permit, and all wait for it in turn."""
    limiter = Limiter(1)
    each = OPERATIONS // side_by_side

    async def ask(line: OrgLimiter) -> None:
        for _ in range(each):
            await line.acquire()
            if side_by_side > 1:
                await asyncio.sleep(0)
            line.release()

    lines = [limiter.org(number, _LIMITS) for number in range(side_by_side)]
    started = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(ask(line.__enter__()))
    spent = time.process_time() - started
    for line in lines:
        line.__exit__(None, None, None)
    return 1e6 * spent / (each * side_by_side)


def _bytes(orgs: int, rate: float, teach: Callable[[OrgLimiter], None]) -> float:
    """What the limiter keeps of an org after its poll, the dictionary that holds it included.

    Of an org at rest nothing is kept: one that was only asked is not, as long as its slow `rate` is not made up for.
    """
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    limiter = Limiter(64)
    for number in range(1_000_000, 1_000_000 + orgs):
        with limiter.org(number, Limits(in_flight=10, rate=rate)) as line:
            line.quota, _ = reserve(line.quota, limiter.now(), line.limits)
            teach(line)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert limiter is not None
    return (after - before) / orgs
