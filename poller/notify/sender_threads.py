"""Runs a blocking send in a thread of its own, with a hard deadline.

A thread cannot be stopped, so one that misses its deadline is left behind: it holds no poll, no shutdown (it is a
daemon) and no other receiver. Until it ends, nothing else is sent to its address.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from poller.notify.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_THREADS: Final = 32
"""Threads that run or were left behind; as many receivers that never answer stop messages to people."""

_threads: Final[set[threading.Thread]] = set()
_left_behind: Final[dict[threading.Thread, Hashable]] = {}
"""The receiver of each thread that missed its deadline."""


async def run_in_thread(key: Hashable, do: Callable[[], None], deadline_seconds: float) -> None:
    """Calls `do` in a thread; raises its error, or a `DeliveryError` at the deadline.

    Raises a `DeliveryError` at once if a thread of the same `key` was left behind and still runs.
    """
    _refuse(key)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            do()
        except BaseException as raised:  # noqa: BLE001 - it belongs to the caller
            error = raised
        # The loop may be closed if the process ends.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, error)

    thread = threading.Thread(target=run, name="poller send", daemon=True)
    _threads.add(thread)
    thread.start()
    try:
        async with asyncio.timeout(deadline_seconds):
            await done
    except TimeoutError:
        what = f"the receiver did not answer within {deadline_seconds:g} s"
        raise DeliveryError(what, "see whether it is up and reachable from here") from None
    finally:
        if done.cancelled():
            _left_behind[thread] = key


def _refuse(key: Hashable) -> None:
    """Raises a `DeliveryError` if a thread of this receiver was left behind and still runs, or if too many run."""
    for ended in [one for one in _threads if not one.is_alive()]:
        _threads.remove(ended)
        _left_behind.pop(ended, None)
    if key in _left_behind.values():
        what = "an earlier message is still being sent: the receiver takes no answer to an end"
        raise DeliveryError(what, "see why the receiver is slow")
    if len(_threads) >= MOST_THREADS:
        raise DeliveryError(f"{MOST_THREADS} receivers do not answer", "see why they are slow, or remove them")
