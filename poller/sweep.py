"""A sweep: many orgs, a bounded number at a time, pulled from an iterator as hands come free.

There is never a task per org or per request up front: 50,000 orgs cost the memory of as many as are being polled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")


async def sweep(orgs: AsyncIterator[T], poll: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Call `poll` with each of `orgs`, at most `at_once` of them side by side, and return when all are done.

    An exception of `poll` (it raises for nothing Zoho does, so it is ours or the store's) ends the sweep: the other
    polls under way are cancelled and it is raised as it was.
    """
    one_at_a_time = asyncio.Lock()

    async def work() -> None:
        while True:
            async with one_at_a_time:
                org = await anext(orgs, _END)
            if org is _END:
                return
            await poll(org)  # type: ignore[arg-type]  # the sentinel is ruled out above

    try:
        async with asyncio.TaskGroup() as hands:
            for _ in range(at_once):
                hands.create_task(work())
    except BaseExceptionGroup as several:
        # One cause is enough for one line on standard error.
        raise _first(several) from None


_END = object()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
