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

_running: Final[dict[Hashable, threading.Thread]] = {}


async def run_in_thread(key: Hashable, do: Callable[[], None], deadline_seconds: float) -> None:
    """Calls `do` in a thread, one at a time of each `key`; raises its error, or a `DeliveryError` at the deadline."""
    for ended in [one for one, thread in _running.items() if not thread.is_alive()]:
        del _running[ended]
    if key in _running:
        what = "an earlier message is still being sent: the receiver takes no answer to an end"
        raise DeliveryError(what, "see why the receiver is slow")
    if len(_running) >= MOST_THREADS:
        raise DeliveryError(f"{MOST_THREADS} receivers do not answer", "see why they are slow, or remove them")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        # Here and not by the end of the thread, which may be a moment later than the caller's next message.
        if _running.get(key) is thread:
            del _running[key]
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
    _running[key] = thread
    thread.start()
    try:
        async with asyncio.timeout(deadline_seconds):
            await done
    except TimeoutError:
        what = f"the receiver did not answer within {deadline_seconds:g} s"
        raise DeliveryError(what, "see whether it is up and reachable from here") from None
