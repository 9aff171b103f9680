"""An event loop with a manual clock: a sleep ends at once and advances the clock.

Time passes only when every task waits; what two tasks do at the same time they do in order.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

START = 1_764_000_000.0
T = TypeVar("T")


class _TurningSelector(selectors.SelectSelector):
    """Advances the clock where another selector would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "every task waits for something that no clock brings: a deadlock"
        self.time += max(timeout, 0.0)
        return super().select(0)


class _TurnedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._turning = _TurningSelector()
        super().__init__(self._turning)

    def time(self) -> float:
        return self._turning.time


def run_turned(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end; `now()` returns the time on the manual clock."""
    with asyncio.Runner(loop_factory=_TurnedLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Seconds since 1970 on the manual clock."""
    return START + asyncio.get_running_loop().time()
