"""Answers the questions of a server, such as the web server, from a database that it only reads."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poller.query.cache import AnswerCache
from poller.store.access.scoped import scoped
from poller.store.clock_reader import clock_kept_right
from poller.store.fleet_stats import fleet_stats, org_ages
from poller.store.orgs.visible import visible_ids
from poller.store.read_only import connect_read_only
from poller.store.series.trends import count_orgs_with_series

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from poller.core.callers import Caller
    from poller.core.fleet import FleetStats
    from poller.core.series import TrendPoint
    from poller.query.trend import TrendQuestion
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class Reader:
    """Questions to one database, at the time of `clock`; None: PostgreSQL's."""

    database: Database
    clock: Callable[[], datetime] | None = None
    cache: AnswerCache = field(default_factory=AnswerCache, compare=False, repr=False)

    def now(self) -> datetime:
        """The time that ages are measured at."""
        return (self.clock or self.database.clock.now)()

    def seen_by(self, caller: Caller) -> Database:
        """The database as this caller sees it: queries return only rows of the caller's orgs."""
        tags = caller.visible_tags
        return self.database if tags is None else scoped(self.database, tags)

    async def fleet_stats(self) -> FleetStats:
        """The fleet in figures."""
        return await fleet_stats(self.database, self.now())

    async def org_ages(self, at_most: int) -> Mapping[str, float]:
        """Seconds since the newest known counts of up to `at_most` orgs, by name; infinite: never known."""
        return await org_ages(self.database, self.now(), at_most)

    async def count_points(self, question: TrendQuestion, edges: Sequence[datetime], caller: Caller) -> int:
        """The number of points that the answer to `question` has at most."""
        database, tags = self.seen_by(caller), caller.visible_tags
        if question.org is not None:
            orgs = 1
        else:
            orgs = await (count_orgs_with_series(database) if tags is None else _count_visible(database, tags))
        return orgs * len(question.user_types()) * (len(edges) - 1)

    async def points(
        self, question: TrendQuestion, edges: Sequence[datetime], caller: Caller
    ) -> aclosing[AsyncGenerator[TrendPoint]]:
        """The points of the answer that this caller may see, as a generator to be closed."""
        database, tags = self.seen_by(caller), caller.visible_tags
        return await question.points(database, question.user_types(), edges, visible_tags=tags)


async def _count_visible(database: Database, tags: Sequence[str]) -> int:
    return len(await visible_ids(database, tags))


@asynccontextmanager
async def open_reader(dsn: str, now: Callable[[], datetime] | None = None) -> AsyncIterator[Reader]:
    """A reader with its own few connections. Without `now`, PostgreSQL's clock is read again every few seconds."""
    async with await connect_read_only(dsn) as database:
        if now is not None:
            yield Reader(database, now)
            return
        async with clock_kept_right(database):
            yield Reader(database)
