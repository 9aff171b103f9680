"""How counts moved over time: the question, and the answer as series, CSV and JSON. A gap has no numbers."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from poller.core.errors import UsageError
from poller.core.model import USER_TYPES
from poller.query.rows import csv_lines, json_lines, json_objects
from poller.query.selection import Selection
from poller.store.orgs.visible import visible_ids
from poller.store.series.retention import raw_since
from poller.store.series.trends import MOST_BUCKETS, are_days, bucket_edges, org_trend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from datetime import date, datetime, tzinfo

    from poller.core.model import UserType
    from poller.core.series import TrendPoint
    from poller.store.database import Database

TREND_COLUMNS: Final = ("org_id", "org", "user_type", "at", "first", "last", "min", "max", "avg", "samples", "missing")


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """What to answer. `org` None: every org that was not removed; `user_type` None: all there is room for."""

    org: str | None
    user_type: UserType | None
    since: datetime
    until: datetime
    every_seconds: int
    zone: tzinfo
    among: Selection = field(default_factory=Selection)
    """Which orgs, in addition to `org`."""

    def edges(self, most: int = MOST_BUCKETS) -> list[datetime]:
        """The start of each step, and the end of the last one; a `UsageError` where there are more than `most`."""
        return bucket_edges(self.since, self.until, self.every_seconds, self.zone, most=most)

    def user_types(self, room_for: Sequence[UserType] = USER_TYPES) -> Sequence[UserType]:
        """The user types of the answer."""
        return room_for if self.user_type is None else (self.user_type,)

    async def points(
        self,
        database: Database,
        user_types: Sequence[UserType],
        edges: Sequence[datetime] | None = None,
        *,
        visible_tags: Sequence[str] | None = None,
    ) -> aclosing[AsyncGenerator[TrendPoint]]:
        """The points, as a generator to be closed: a reader who stops early returns the connection that way.

        `edges`: the result of `edges()`, if the caller has it. `visible_tags`: only orgs with one of these tags, and
        not `among`; None: every org. A `UsageError` where there is no such org.
        """
        if visible_tags is None:
            chosen = self.among if self.org is None else replace(self.among, names=(self.org,))
            ids = await chosen.ids(database, removed=True)
        else:
            ids = await visible_ids(database, visible_tags, self.org)
            if self.org is not None and not ids:
                raise UsageError(f"there is no org {self.org!r}", "GET /api/v1/orgs lists the orgs that this key sees")
        points = org_trend(database, edges or self.edges(), org_ids=ids, user_types=user_types)
        return aclosing(cast("AsyncGenerator[TrendPoint]", points))

    async def snapshots_kept_since(self, database: Database) -> date | None:
        """The first day that snapshots are kept of, where the question needs earlier ones; else None.

        Steps of whole days in UTC need none: daily counts are kept longer.
        """
        edges = self.edges()
        kept = await raw_since(database)
        return kept if edges[0].date() < kept and not are_days(edges) else None


async def by_series(points: AsyncIterator[TrendPoint]) -> AsyncIterator[list[TrendPoint]]:
    """The points of one org and user type at a time: the history of a whole fleet does not fit into memory."""
    series: list[TrendPoint] = []
    async for point in points:
        if series and (point.org_id, point.user_type) != (series[0].org_id, series[0].user_type):
            yield series
            series = []
        series.append(point)
    if series:
        yield series


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
