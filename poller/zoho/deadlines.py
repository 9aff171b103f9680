"""Ends what takes too long: many at once, all with the same patience, by one timer.

`asyncio.timeout` sets a timer and takes it back for each request, a twelfth of what a poll costs. Where all have the
same patience the first to begin is the first to end, so one timer does for all. What it does to a task is the same.

Refuses to: wait; hide a cancellation that is not its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Deadlines:
    """`with deadlines.begin(): …` is cut off by a `TimeoutError` after so many seconds. Of one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """The time of the current task begins."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can be cut off")
        ends_at = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(ends_at, self._expire_due)
        deadline = Deadline(self._under_way, task, ends_at)
        self._under_way[deadline] = None
        return deadline

    def close(self) -> None:
        """No more of this loop's time is needed."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire_due(self) -> None:
        now = self._loop.time()
        self._timer = None
        for deadline in list(self._under_way):
            if deadline.ends_at > now:
                self._timer = self._loop.call_at(deadline.ends_at, self._expire_due)
                return
            deadline.expire()


class Deadline:
    """The time one task has for one thing."""

    __slots__ = ("_cancelling", "_expired", "_task", "_under_way", "ends_at")

    def __init__(self, under_way: dict[Deadline, None], task: asyncio.Task[object], ends_at: float) -> None:
        self._under_way = under_way
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self.ends_at = ends_at

    def expire(self) -> None:
        """It took too long."""
        self._under_way.pop(self, None)
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._expired:
            del self._under_way[self]
        # The cancellation was ours, and nobody else has asked for one besides.
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
