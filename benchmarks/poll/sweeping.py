"""Measures how close a poll of the whole fleet comes to the fastest that its limits in flight allow, with latency only.

The bound: every request takes the latency, and at most `concurrency` are in flight, so N requests take at least
N x latency / concurrency.
"""

from __future__ import annotations

from statistics import median
from typing import Final

from benchmarks.aims import Figure, show
from benchmarks.poll.lab import lab

ORGS: Final = 1_000
IN_FLIGHT: Final = 64
LATENCY_SECONDS: Final = 0.1
MOST: Final = 1.15


async def measure(rounds: int, orgs: int | None) -> None:
    """Print the table."""
    orgs = orgs or ORGS
    async with lab(orgs, IN_FLIGHT, latency_seconds=LATENCY_SECONDS) as opened:
        runs = [await opened.poll() for _ in range(rounds)]
    seconds = median(one.seconds for one in runs)
    bound = 10 * orgs * LATENCY_SECONDS / IN_FLIGHT
    show(
        f"A sweep of {orgs:,} orgs, {1_000 * LATENCY_SECONDS:.0f} ms away, {IN_FLIGHT} in flight",
        [
            Figure("the bound, seconds", bound),
            Figure("the sweep, seconds", seconds),
            Figure("- of the bound", seconds / bound, "{:.2f}", at_most=MOST),
            Figure("share of a core", median(one.cpu_seconds / one.seconds for one in runs), "{:.0%}"),
        ],
        [f"Medians of {rounds}; orgs of all editions, each with half of what its edition allows in flight."],
    )
