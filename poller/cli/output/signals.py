"""What Ctrl-C and SIGTERM do to a command, however often they come."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

_STOP: Final = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE: Final = 3
"""The Ctrl-C that ends the process at once, whatever it does."""


class Signals:
    """The stop signals that a command received. They set its event, if it waits for one, or else cancel its task.

    The handler never raises: an exception between two callbacks would leave uvloop's loop running for ever.
    """

    def __init__(self) -> None:
        self.cancelled: list[int] = []
        """The signals that cancelled the command; those of a service that had to stop at once are not among them."""
        self._interrupts = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stopped: asyncio.Event | None = None

    def of_this_task(self) -> None:
        """The signals cancel the task that calls this."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    @contextmanager
    def set_first(self, stopped: asyncio.Event) -> Iterator[None]:
        """The first signal sets `stopped`, and any later one cancels the task.

        Also signals that the parent ignores, as a shell does for a command in the background of a script: a service
        must be able to stop.
        """
        self._stopped = stopped
        try:
            with _handling(self, _STOP):
                yield
        finally:
            self._stopped = None

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._interrupts += number == signal.SIGINT
        if self._interrupts >= _AT_ONCE:
            os._exit(128 + signal.SIGINT)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._act, number)

    def _act(self, number: int) -> None:
        if self._stopped is None:
            self.cancelled.append(number)
        elif not self._stopped.is_set():
            self._stopped.set()
            return
        if self._task is not None:
            self._task.cancel()


_current: Final[ContextVar[Signals]] = ContextVar("signals")


def current() -> Signals:
    """The signals of the command that runs."""
    return _current.get()


@contextmanager
def received() -> Iterator[Signals]:
    """The stop signals of one command, without those that its parent ignores."""
    signals = Signals()
    token = _current.set(signals)
    try:
        with _handling(signals, [number for number in _STOP if signal.getsignal(number) is not signal.SIG_IGN]):
            yield signals
    finally:
        _current.reset(token)


@contextmanager
def _handling(signals: Signals, numbers: Iterable[signal.Signals]) -> Iterator[None]:
    before = {number: signal.signal(number, signals.on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
