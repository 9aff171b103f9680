"""How counts moved: the question, and its answer as CSV and JSON. A gap has no numbers."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from poller.core.model import USER_TYPES
from poller.query.rows import csv_lines, json_lines, json_objects
from poller.query.selection import Selection
from poller.store.series.trends import MOST_BUCKETS, bucket_edges, org_trend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from datetime import datetime, tzinfo

    from poller.core.model import UserType
    from poller.store.database import Database
    from poller.store.series.trends import TrendPoint

TREND_COLUMNS: Final = ("org_id", "org", "user_type", "at", "first", "last", "min", "max", "avg", "samples", "missing")


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """What was asked. `org` None: every org that was not removed; `kind` None: as many as there is room for."""

    org: str | None
    kind: UserType | None
    since: datetime
    until: datetime
    every_seconds: int
    zone: tzinfo
    among: Selection = field(default_factory=Selection)
    """Which orgs, beside `org`."""

    def edges(self, most: int = MOST_BUCKETS) -> list[datetime]:
        """Where the steps begin, and where the last of them ends; a `UsageError` where there are too many."""
        return bucket_edges(self.since, self.until, self.every_seconds, self.zone, most=most)

    def kinds(self, room_for: Sequence[UserType] = USER_TYPES) -> Sequence[UserType]:
        """The user types to tell of."""
        return room_for if self.kind is None else (self.kind,)

    async def points(
        self, database: Database, kinds: Sequence[UserType], edges: Sequence[datetime] | None = None
    ) -> aclosing[AsyncGenerator[TrendPoint]]:
        """A generator to be closed, so that a reader who stops early gives the connection back.

        `edges`: what `edges()` returned, where the caller has it already. A `UsageError` where there is no such org.
        """
        chosen = self.among if self.org is None else replace(self.among, names=(self.org,))
        ids = await chosen.ids(database, removed=True)
        points = org_trend(database, edges or self.edges(), org_ids=ids, user_types=kinds)
        return aclosing(cast("AsyncGenerator[TrendPoint]", points))


async def trend_csv(points: AsyncIterator[TrendPoint], zone: tzinfo) -> AsyncGenerator[str]:
    """The series as CSV, a line at a time; a gap has empty fields."""
    async for line in csv_lines(TREND_COLUMNS, (_fields(point, zone) async for point in points)):
        yield line


async def trend_json(points: AsyncIterator[TrendPoint], zone: tzinfo) -> AsyncGenerator[str]:
    """The series as one JSON list, an object a line; a gap has nulls."""
    async for line in json_lines(_fields(point, zone) async for point in points):
        yield line


async def trend_json_objects(points: AsyncIterator[TrendPoint], zone: tzinfo) -> AsyncGenerator[str]:
    """The series as JSON, one object a line and no list around them; a gap has nulls."""
    async for line in json_objects(_fields(point, zone) async for point in points):
        yield line


def _fields(point: TrendPoint, zone: tzinfo) -> dict[str, Any]:
    fields = {column: getattr(point, column) for column in TREND_COLUMNS}
    return fields | {"user_type": point.user_type.value, "at": point.at.astimezone(zone).isoformat()}
