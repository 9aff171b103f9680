"""Calls a function for many orgs, a bounded number in parallel, pulled from an iterator as places become free.

There is no task per org in advance: 50,000 orgs take the memory of the orgs that are being polled. Each data centre has
its own iterator and its share of the places, so that a data centre that hangs leaves the others their places.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from poller.core.shares import Shares

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

T = TypeVar("T")


async def for_each(orgs: AsyncIterator[T], poll: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Calls `poll` with each of `orgs`, at most `at_once` in parallel; returns when all are done.

    An exception of `poll` cancels the other running polls and is raised as it is. `poll` raises nothing for what Zoho
    does, so such an exception is a bug or an error of the database.
    """
    await for_each_by_data_center({"": orgs}, poll, {"": 1.0}, at_once=at_once)


async def for_each_by_data_center(
    orgs: Mapping[str, AsyncIterator[T]],
    poll: Callable[[T], Awaitable[None]],
    demand: Mapping[str, float],
    *,
    at_once: int,
) -> None:
    """Like `for_each`, for orgs by data centre: `at_once` is shared by `demand` among data centres with orgs left."""
    places = _Places(at_once, demand)
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, of_name in orgs.items():
                tasks.create_task(_poll_data_center(name, of_name, poll, places, tasks))
    except BaseExceptionGroup as several:
        # One cause is enough for one line on standard error.
        raise _first(several) from None


@asynccontextmanager
async def beside(background: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `background` until the context ends, then cancels it. The first error of either is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(background)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as several:
        raise _first(several) from None


async def _poll_data_center(
    name: str, orgs: AsyncIterator[T], poll: Callable[[T], Awaitable[None]], places: _Places, tasks: asyncio.TaskGroup
) -> None:
    while True:
        await places.take(name)
        org = await anext(orgs, _END)
        if org is _END:
            places.finish(name)
            return
        task: asyncio.Task[None] = tasks.create_task(_poll_one(poll, org))  # type: ignore[arg-type]  # no sentinel
        task.add_done_callback(partial(places.give_back, name))


async def _poll_one(poll: Callable[[T], Awaitable[None]], org: T) -> None:
    await poll(org)


class _Places:
    """The places for parallel polls; a data centre that finds none waits for the next that becomes free."""

    def __init__(self, total: int, demand: Mapping[str, float]) -> None:
        self._demand = dict(demand)
        self._shares = Shares(total)
        self._shares.share_out(self._demand)
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def take(self, name: str) -> None:
        part = self._shares.part(name)
        if not part.is_free:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((name, waiter))
            await waiter
            return
        part.take()

    def give_back(self, name: str, _task: object = None) -> None:
        self._shares.part(name).give_back()
        self._admit()

    def finish(self, name: str) -> None:
        """Gives the place and the share of a data centre without more orgs to the others."""
        self._demand.pop(name, None)
        self._shares.share_out(self._demand)
        self.give_back(name)

    def _admit(self) -> None:
        for _ in range(len(self._waiting)):
            name, waiter = self._waiting.popleft()
            part = self._shares.part(name)
            if not part.is_free:
                self._waiting.append((name, waiter))
            elif not waiter.done():
                part.take()
                waiter.set_result(None)


_END = object()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
