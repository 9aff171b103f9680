"""One timer for many tasks that all have the same timeout.

`asyncio.timeout` sets and cancels a timer per request, which is a twelfth of what a poll costs. With equal timeouts the
task that starts first also ends first, so one timer is enough. The effect on a task is that of `asyncio.timeout`.

Refuses to: wait; hide a cancellation that another part of the program requested.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class SharedTimeout:
    """`with timeout.start(): …` raises `TimeoutError` if the block takes longer than `seconds`. Of one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._running: dict[TaskTimeout, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> TaskTimeout:
        """Start the timeout of the current task."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a timeout needs a task to cancel")
        ends_at = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(ends_at, self._expire_due)
        timeout = TaskTimeout(self._running, task, ends_at)
        self._running[timeout] = None
        return timeout

    def close(self) -> None:
        """Cancel the timer: no timeout is running any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire_due(self) -> None:
        now = self._loop.time()
        self._timer = None
        for timeout in list(self._running):
            if timeout.ends_at > now:
                self._timer = self._loop.call_at(timeout.ends_at, self._expire_due)
                return
            timeout.expire()


class TaskTimeout:
    """The running timeout of one task, as a context manager."""

    __slots__ = ("_cancelling", "_expired", "_running", "_task", "ends_at")

    def __init__(self, running: dict[TaskTimeout, None], task: asyncio.Task[object], ends_at: float) -> None:
        self._running = running
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self.ends_at = ends_at

    def expire(self) -> None:
        """Cancel the task, because its time is over."""
        self._running.pop(self, None)
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._expired:
            del self._running[self]
        # The cancellation is this timeout's own, and no other was requested.
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
