"""The group `poll`: every question in turn, or those that are named."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import machine
from benchmarks.poll import limits, punctual, queued, sdk, sweeping, workers
from benchmarks.poll.throughput import CASES, measure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

ROUNDS: Final = 5

QUESTIONS: Final[dict[str, Callable[[int, int | None], Awaitable[None]]]] = {
    **{name: partial(measure, case) for name, case in CASES.items()},
    "sdk": sdk.measure,
    "limiter": limits.measure,
    "queue": queued.measure,
    "sweep": sweeping.measure,
    "workers": workers.measure,
    "schedule": punctual.measure,
}
"""`measure(rounds, orgs)` prints a table; None: as many orgs as the question usually has."""


async def main(orgs: int | None, rounds: int | None, questions: Sequence[str] | None) -> None:
    """Print a table for each question."""
    if len(machine.CORES) < 2:
        raise SystemExit("this group needs two cores: one for what is measured, one for the server")
    print(f"\n## poll\n\n{machine.described()}.")
    for name in questions or QUESTIONS:
        await QUESTIONS[name](rounds or ROUNDS, orgs)
