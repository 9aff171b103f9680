"""Two workers on two cores beside one on one: whether queue, database and tokens let them work side by side.

The responder and PostgreSQL need the cores as well, so the load is bound by latency: each worker waits for replies most
of the time. What this shows is that two workers share one queue without waiting for each other. It does not show
two cores' worth of arithmetic: for that the machine would need a core or two more.
"""

from __future__ import annotations

from statistics import median
from typing import Final

from benchmarks.aims import Figure, of_pairs, show
from benchmarks.machine import CLIENT_CPU, SERVER_CPU
from benchmarks.poll.crew import Shift, work_off
from benchmarks.poll.lab import lab

ORGS: Final = 1_000
IN_FLIGHT: Final = 64
LATENCY_SECONDS: Final = 0.05
LEAST: Final = 1.7


async def measure(rounds: int, orgs: int | None) -> None:
    """Print the table."""
    orgs = orgs or ORGS
    alone: list[Shift] = []
    both: list[Shift] = []
    async with lab(orgs, IN_FLIGHT, latency_seconds=LATENCY_SECONDS) as opened:
        for _ in range(rounds):
            alone.append(await work_off(opened, orgs, [CLIENT_CPU]))
            both.append(await work_off(opened, orgs, [CLIENT_CPU, SERVER_CPU]))
    show(
        f"Two workers, {1_000 * LATENCY_SECONDS:.0f} ms away, {IN_FLIGHT} in flight each",
        [
            Figure("one worker, polls/s", median(orgs / one.seconds for one in alone), "{:,.0f}"),
            Figure("two workers, polls/s", median(orgs / one.seconds for one in both), "{:,.0f}"),
            Figure(
                "- times one",
                of_pairs((1 / one.seconds for one in both), (1 / one.seconds for one in alone)),
                "{:.2f}",
                at_least=LEAST,
            ),
            Figure("the busier one's share of the rows", median(max(one.rows) / orgs for one in both), "{:.0%}"),
            Figure("one worker, share of its core", median(one.cpu_seconds / one.seconds for one in alone), "{:.0%}"),
        ],
        [f"{orgs:,} orgs, all due at once; medians of {rounds}, turn by turn."],
    )
