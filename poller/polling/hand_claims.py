"""Claims in the queue of the workers for orgs polled by a command: only one process at a time polls an org.

A command polls no org without a claim, claims only orgs that it is about to poll, and waits for an org that another
process polls for a few seconds only.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from poller.core.admission import Poll
from poller.core.errors import DatabaseError
from poller.core.schedule import Due
from poller.store.queue import hand_claims

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from poller.polling.results import Admitted
    from poller.store.database import Database

T = TypeVar("T")

HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)
"""Without a heartbeat for this long, another process may take over a claim; workers' jobs have the same limit."""
KEEP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.25
LOOKS: Final = 60
"""At the end the command waits for orgs that other processes poll: for about as long as a few timeouts of requests."""


class HandClaims:
    """The claims of one command."""

    def __init__(self, database: Database, *, at_once: int, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._database = database
        self._at_once = at_once
        self._sleep = sleep
        self._holder = uuid4()
        self._job_ids: dict[int, int] = {}
        self.left: list[Admitted] = []
        """Orgs left to the processes that poll them."""

    async def claimed(self, admitted: AsyncGenerator[Admitted]) -> AsyncGenerator[Admitted]:
        """The orgs that may be polled now; orgs that another process polls come last, or not at all."""
        async with aclosing(one_ahead(self._in_batches(admitted))) as batches:
            async for batch in batches:
                for one in batch:
                    yield one

    async def _in_batches(self, admitted: AsyncGenerator[Admitted]) -> AsyncGenerator[list[Admitted]]:
        waiting: list[Admitted] = []
        async with aclosing(admitted):
            batch: list[Admitted] = []
            async for one in admitted:
                batch.append(one)
                if len(batch) == self._at_once:
                    yield await self._claim(batch, waiting)
                    batch = []
            if batch:
                yield await self._claim(batch, waiting)
        for _ in range(LOOKS):
            if not waiting:
                return
            await self._sleep(LOOK_SECONDS)
            again, waiting = waiting, []
            if found := await self._claim(again, waiting):
                yield found
        self.left += waiting

    async def _claim(self, admitted: Sequence[Admitted], waiting: list[Admitted]) -> list[Admitted]:
        """Returns those that this command may poll or that need no request, and adds the others to `waiting`."""
        polls = [state for state, decision in admitted if isinstance(decision, Poll)]
        if not polls:
            return list(admitted)
        new = [
            Due(state.org.id, state.slot, state.org.interval_seconds)
            for state in polls
            if state.org.id not in self._job_ids
        ]
        if new:
            self._job_ids |= await hand_claims.claim(self._database, self._holder, new, HEARTBEAT_TIMEOUT)
        # After the claim, so that two processes that claim at the same time see each other.
        org_ids = [state.org.id for state in polls]
        elsewhere = await hand_claims.polled_elsewhere(self._database, self._holder, org_ids, HEARTBEAT_TIMEOUT)
        ready: list[Admitted] = []
        for state, decision in admitted:
            org_id = state.org.id
            ours = not isinstance(decision, Poll) or (org_id in self._job_ids and org_id not in elsewhere)
            (ready if ours else waiting).append((state, decision))
        return ready

    async def release(self, org_ids: Sequence[int]) -> None:
        """Releases orgs whose rows are committed."""
        job_ids = [self._job_ids.pop(org_id) for org_id in org_ids if org_id in self._job_ids]
        if job_ids:
            await hand_claims.release(self._database, self._holder, job_ids)

    async def release_all(self) -> None:
        """Releases all orgs at the end of the command. If PostgreSQL is unreachable, the claims expire."""
        with suppress(DatabaseError):
            await self.release(list(self._job_ids))

    async def keep(self) -> None:
        """Renews the claims every few seconds."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)  # in PostgreSQL's time, even if a test sets the clock of the polls
            with suppress(DatabaseError):
                await hand_claims.keep(self._database, self._holder)


async def one_ahead(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The same items, each prepared while the caller uses the one before."""
    # Not in a group: an async generator may be closed by another task than the one that iterates it.
    coming = asyncio.ensure_future(anext(items, _END))
    try:
        while (item := await coming) is not _END:
            coming = asyncio.ensure_future(anext(items, _END))
            yield item  # type: ignore[misc]  # the sentinel is ruled out above
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()  # nothing waits for this item: mark its error as seen
        await items.aclose()


_END: Final = object()
