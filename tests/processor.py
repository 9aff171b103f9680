"""Compares processor times with each other, which a slow or a busy machine does not change."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_RUNS = 5


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """How many times as long `work(large)` takes as `work(small)`.

    The shortest of several runs counts: other programs make a run longer, and none makes it shorter.
    """
    pairs = [(processor_seconds(partial(work, small)), processor_seconds(partial(work, large))) for _ in range(_RUNS)]
    return min(seconds for _, seconds in pairs) / min(seconds for seconds, _ in pairs)


def ten_milliseconds() -> float:
    """The seconds that this processor needs now for what a usual one does in 0.01 s."""
    return processor_seconds(lambda: sum(number * number for number in range(260_000)))


def processor_seconds(work: Callable[[], object]) -> float:
    """What calling `work` takes."""
    began = time.process_time()
    work()
    return time.process_time() - began
