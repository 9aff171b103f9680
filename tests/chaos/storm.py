"""Draws random failures from a seed; the same seed gives the same failures."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 3
KINDS = {
    "kill": 5,
    "freeze": 4,
    "restart_database": 2,
    "cut_database": 2,
    "lose_data_center": 3,
    "set_clock": 1,
    "pause": 2,
    "change_interval": 2,
}
"""And how often each, compared with the others."""


@dataclass(frozen=True)
class Event:
    """After `wait` seconds: `kind` happens to `whom` (a number, taken modulo what there is) for `seconds`."""

    wait: float
    kind: str
    whom: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind}({self.whom}, {self.seconds:.1f} s)"


def storm(seed: int, seconds: float) -> Iterator[Event]:
    """The events of `seconds` seconds; the first second has none."""
    run_with_retry = random.Random(seed)
    at = 1.0
    while at < seconds:
        wait = run_with_retry.uniform(0.3, 2.0)
        kind = run_with_retry.choices(list(KINDS), list(KINDS.values()))[0]
        yield Event(wait, kind, run_with_retry.randrange(1_000_000), run_with_retry.uniform(0.5, 6.0))
        at += wait
