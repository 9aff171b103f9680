"""Measures the cost of the queue: the service's worker and `poller poll`, with the same orgs and the same server.

The worker claims jobs, reads the state of their orgs, and finishes the jobs. `poller poll` reads the orgs page by page.
Everything else is equal.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.machine import CLIENT_CPU
from benchmarks.poll.crew import Shift, work_off
from benchmarks.poll.lab import lab

if TYPE_CHECKING:
    from benchmarks.poll.lab import Run

ORGS: Final = 1_000
IN_FLIGHT: Final = 64


async def measure(rounds: int, orgs: int | None) -> None:
    """Print the table."""
    orgs = orgs or ORGS
    swept: list[Run] = []
    queued: list[Shift] = []
    store_swept, store_queued = [], []
    async with lab(orgs, IN_FLIGHT) as opened:
        for _ in range(rounds):
            at_first = opened.postgresql_cpu_seconds()
            swept.append(await opened.poll())
            between = opened.postgresql_cpu_seconds()
            queued.append(await work_off(opened, orgs, [CLIENT_CPU]))
            store_swept.append(1e6 * (between - at_first) / orgs)
            store_queued.append(1e6 * (opened.postgresql_cpu_seconds() - between) / orgs)
    cpu_swept = median(1e6 * one.cpu_seconds / orgs for one in swept)
    cpu_queued = median(1e6 * one.cpu_seconds / orgs for one in queued)
    show(
        f"The queue's share of a poll, {IN_FLIGHT} in flight",
        [
            Figure("`poller poll`, polls/s", median(orgs / one.seconds for one in swept), "{:,.0f}"),
            Figure("one worker of `poller run`, polls/s", median(orgs / one.seconds for one in queued), "{:,.0f}"),
            Figure("`poller poll`, µs of processor time a poll", cpu_swept, "{:,.0f}"),
            Figure("one worker", cpu_queued, "{:,.0f}"),
            Figure("- of which the queue", cpu_queued - cpu_swept, "{:,.0f}"),
            Figure("PostgreSQL, `poller poll`, µs a poll", median(store_swept), "{:,.0f}"),
            Figure("PostgreSQL, one worker", median(store_queued), "{:,.0f}"),
        ],
        [f"{orgs:,} orgs, all due at once; medians of {rounds}. PostgreSQL's includes handing the slots out."],
    )
