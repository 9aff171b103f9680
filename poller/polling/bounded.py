"""A sweep: many orgs, a bounded number at a time, pulled from an iterator as places come free.

There is never a task per org or per request up front: 50,000 orgs cost the memory of as many as are being polled. Each
data centre has an iterator of its own and its share of the places, so that one that hangs leaves the others theirs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from poller.core.shares import Shares

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

T = TypeVar("T")


async def for_each(orgs: AsyncIterator[T], poll: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Call `poll` with each of `orgs`, at most `at_once` of them side by side, and return when all are done.

    An exception of `poll` (it raises for nothing Zoho does, so it is ours or the store's) ends the sweep: the other
    polls under way are cancelled and it is raised as it was.
    """
    await for_each_by_data_center({"": orgs}, poll, {"": 1.0}, at_once=at_once)


async def for_each_by_data_center(
    orgs: Mapping[str, AsyncIterator[T]],
    poll: Callable[[T], Awaitable[None]],
    demand: Mapping[str, float],
    *,
    at_once: int,
) -> None:
    """The same for orgs by data centre: `at_once` is shared out by `demand` among those that still have orgs left."""
    places = _Places(at_once, demand)
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, of_name in orgs.items():
                tasks.create_task(_sweep_one(name, of_name, poll, places, tasks))
    except BaseExceptionGroup as several:
        # One cause is enough for one line on standard error.
        raise _first(several) from None


async def _sweep_one(
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
    """The places of a sweep; who finds none waits in the line of its data centre."""

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
        """This data centre has no more orgs: its share goes to the others, and so does the place it holds."""
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
