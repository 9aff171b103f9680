"""The series of one org, or of the fleet: each user type over time, with a step that follows the range."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from poller.core.durations import DAY_SECONDS
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES
from poller.core.resolution import MOST_POINTS, resolution
from poller.query.parameters import moment_of, seconds_of, type_of, zone_of
from poller.store.orgs.visible import find_visible
from poller.store.reading import reading
from poller.store.series.columns import fleet_columns, org_columns, usual_spacing_seconds
from poller.store.series.retention import raw_since
from poller.store.series.trends import bucket_edges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from poller.core.model import UserType
    from poller.core.series import TypeSeries
    from poller.store.database import Database
    from poller.store.queries import Queries

SERIES_COLUMNS: Final = ("at", "type", "first", "last", "min", "max", "avg", "samples", "missing")


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """Which types, and when. `every_seconds` None: the shortest step that has at most `MOST_POINTS` points."""

    user_types: Sequence[UserType]
    since: datetime
    until: datetime
    every_seconds: int | None = None
    zone: tzinfo = UTC

    @classmethod
    def parse(
        cls,
        now: datetime,
        *,
        types: Sequence[str] = (),
        since: str = "90d",
        until: str = "",
        every: str = "",
        tz: str = "",
    ) -> SeriesQuestion:
        """From text as people write it; empty: all types, until now, any step, UTC. A `UsageError` for a wrong one.

        `since` and `until` are a duration ago, a day, which begins at midnight in `tz`, or an ISO 8601 time. What lies
        in the future is cut off.
        """
        zone = zone_of(tz or "UTC")
        begin = moment_of(since or "90d", now, zone)
        end = min(moment_of(until, now, zone), now) if until else now
        if begin >= end:
            raise UsageError("the series would end before it begins", "name an earlier `since`, or a later `until`")
        chosen = tuple(dict.fromkeys(type_of(name) for name in types)) or USER_TYPES
        return cls(chosen, begin, end, seconds_of(every) if every else None, zone)

    @property
    def span_seconds(self) -> float:
        """The length of the range."""
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True, slots=True)
class Series:
    """The answer. `edges`: the start of each step, and the end of the last one, in UTC.

    `kept_since`: snapshots before that day are not kept, so there are only steps of whole days (UTC); else None.
    """

    step_seconds: int
    edges: Sequence[datetime]
    types: Sequence[TypeSeries]
    zone: tzinfo = UTC
    kept_since: date | None = None

    def fields(self) -> dict[str, Any]:
        """The series as one JSON object."""
        return {"step_seconds": self.step_seconds, "kept_since": self.kept_since, "points": list(self.points())}

    def points(self) -> Iterator[dict[str, Any]]:
        """A JSON object for each type and step; the numbers of a step without a known count are None."""
        starts = [edge.astimezone(self.zone).isoformat() for edge in self.edges[:-1]]
        for one in self.types:
            name = one.user_type.value
            columns = (one.first, one.last, one.min, one.max, one.avg, one.samples, one.missing)
            for at, numbers in zip(starts, zip(*columns, strict=True), strict=True):
                yield dict(zip(SERIES_COLUMNS, (at, name, *numbers), strict=True))


async def org_series(
    database: Database, org_id: int, question: SeriesQuestion, *, visible_tags: Sequence[str] | None
) -> Series | None:
    """The series of one org, removed or not; None where the caller sees no such org."""
    async with reading(database) as connection:
        org = await find_visible(connection, org_id, visible_tags)
        if org is None:
            return None
        return await series_of(connection, org_id, question, org["effective_interval_seconds"])


async def series_of(queries: Queries, org_id: int, question: SeriesQuestion, interval_seconds: int) -> Series:
    """The series of an org that the caller may see; its slots are `interval_seconds` apart now."""
    kept = await raw_since(queries)
    is_older = question.since.date() < kept
    shortest = question.every_seconds or interval_seconds
    step = resolution(question.span_seconds, shortest, only_days=is_older)
    if question.every_seconds is None and step == interval_seconds < DAY_SECONDS:
        spacing = await usual_spacing_seconds(queries, org_id, question.since, question.until)
        step = resolution(question.span_seconds, min(spacing or step, DAY_SECONDS))
    zone = UTC if is_older else question.zone
    edges = bucket_edges(question.since, question.until, step, zone, most=MOST_POINTS)
    types = await org_columns(queries, org_id, edges, question.user_types)
    return Series(step, edges, types, question.zone, kept if is_older else None)


async def fleet_series(database: Database, question: SeriesQuestion, *, visible_tags: Sequence[str] | None) -> Series:
    """The sums of the orgs that the caller sees, in steps of whole days (UTC) or longer.

    The number of a day is the sum of the last known count of each org on that day: `samples` orgs are in the sum,
    `missing` orgs were polled but not known.
    """
    step = resolution(question.span_seconds, question.every_seconds or DAY_SECONDS, only_days=True)
    edges = bucket_edges(question.since, question.until, step, UTC, most=MOST_POINTS)
    async with reading(database) as connection:
        return Series(step, edges, await fleet_columns(connection, edges, question.user_types, tags=visible_tags))
