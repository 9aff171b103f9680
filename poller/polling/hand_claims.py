"""One process at a time polls an org: what `poller poll` polls is claimed first, and left alone where another polls it.

It refuses to wait long for an org, to hold more claims than are about to be polled, and to poll without a claim.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from poller.core.errors import DatabaseError
from poller.core.schedule import Due
from poller.store.queue import hand_claims

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from poller.polling.plan import Plan
    from poller.store.database import Database

T = TypeVar("T")

SILENCE: Final = timedelta(seconds=30)
"""As for the workers' jobs: after this long without a sign of life a claim is anybody's."""
KEEP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.25
LOOKS: Final = 60
"""An org that another process polls is waited for as long as a few timeouts take, at the end of everything else."""


class HandClaims:
    """The claims of one command."""

    def __init__(self, database: Database, *, at_once: int, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._database = database
        self._at_once = at_once
        self._sleep = sleep
        self._holder = uuid4()
        self._jobs: dict[int, int] = {}
        self.left: list[Plan] = []
        """Of orgs that were left to the processes that poll them."""

    async def claimed(self, plans: AsyncGenerator[Plan]) -> AsyncGenerator[Plan]:
        """Those that may be polled now; those that another process polls come last, or not at all."""
        async with aclosing(one_ahead(self._in_batches(plans))) as batches:
            async for batch in batches:
                for plan in batch:
                    yield plan

    async def _in_batches(self, plans: AsyncGenerator[Plan]) -> AsyncGenerator[list[Plan]]:
        waiting: list[Plan] = []
        async with aclosing(plans):
            batch: list[Plan] = []
            async for plan in plans:
                batch.append(plan)
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

    async def _claim(self, plans: Sequence[Plan], waiting: list[Plan]) -> list[Plan]:
        """Those that are ours to poll, or need no request; the others are `waiting`."""
        wanted = [plan for plan in plans if plan.refusal is None]
        if not wanted:
            return list(plans)
        new = [_due(plan) for plan in wanted if plan.pollable.org.id not in self._jobs]
        if new:
            self._jobs |= await hand_claims.claim(self._database, self._holder, new, SILENCE)
        # Only now: two processes that claim at once see each other.
        elsewhere = await hand_claims.polled_elsewhere(self._database, self._jobs.values(), SILENCE)
        ready: list[Plan] = []
        for plan in plans:
            org_id = plan.pollable.org.id
            ours = plan.refusal is not None or (org_id in self._jobs and org_id not in elsewhere)
            (ready if ours else waiting).append(plan)
        return ready

    async def release(self, org_ids: Sequence[int]) -> None:
        """The rows of these are safe."""
        jobs = [self._jobs.pop(org_id) for org_id in org_ids if org_id in self._jobs]
        if jobs:
            await hand_claims.release(self._database, self._holder, jobs)

    async def release_all(self) -> None:
        """The command ends; where the database is away, workers find the claims silent."""
        with suppress(DatabaseError):
            await self.release(list(self._jobs))

    async def keep(self) -> None:
        """Renew the claims, again and again."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)  # of PostgreSQL's time, whatever the clock of the polls
            with suppress(DatabaseError):
                await hand_claims.keep(self._database, self._holder)


async def one_ahead(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The same items, each made ready while the one before is used."""
    coming = asyncio.ensure_future(anext(items, _END))
    try:
        while (item := await coming) is not _END:
            coming = asyncio.ensure_future(anext(items, _END))
            yield item  # type: ignore[misc]  # the sentinel is ruled out above
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()  # nobody's any more: the sweep has ended, by an error of its own or by being told to
        await items.aclose()


def _due(plan: Plan) -> Due:
    org = plan.pollable.org
    return Due(org.id, plan.slot, org.interval_seconds)


_END: Final = object()
