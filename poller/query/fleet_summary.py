"""What stands above the fleet's list: what needs a person, totals, facets, and the last 90 days.

These are sums over every org. They are kept for a while: a hundred times as long as they took, so that they take at
most a hundredth of the database's time, and at most a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.durations import DAY_SECONDS
from poller.core.model import USER_TYPES
from poller.query.cache import key_of_tags
from poller.query.parallel import parallel
from poller.query.service_facts import OpenCircuit, open_circuits
from poller.store.fleet_totals import Facet, FleetTotals, FleetTrouble, read_facets, read_totals, read_troubles
from poller.store.queue.workers import list_workers
from poller.store.series.columns import fleet_columns
from poller.store.series.trends import bucket_edges

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.core.callers import Caller
    from poller.core.model import UserType
    from poller.query.reader import Reader
    from poller.store.database import Database
    from poller.store.orgs.states import StateFilter

__all__ = ["FleetDay", "FleetSummary", "FleetTrouble", "fleet_days", "fleet_summary"]

TREND_DAYS: Final = 90
_TREND_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class FleetDay:
    """The sum of one day, and how many orgs are not in it because their count is not known."""

    day: date
    total: int | None
    unknown: int


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """Sums of the orgs that match a filter; troubles, circuits and trend are those of every org the caller sees."""

    totals: FleetTotals
    facets: Sequence[Facet]
    troubles: Sequence[FleetTrouble]
    circuits: Sequence[OpenCircuit]
    trend: Sequence[FleetDay]

    @property
    def need_a_person(self) -> int:
        """How many orgs need a person."""
        return sum(trouble.orgs for trouble in self.troubles)

    def values(self, facet: str) -> list[Facet]:
        """The values of one facet, most orgs first."""
        return [one for one in self.facets if one.facet == facet]


async def fleet_summary(reader: Reader, caller: Caller, which: StateFilter, user_type: UserType) -> FleetSummary:
    """The summary as this caller may see it, not older than a minute; the trend not older than five."""
    database = reader.seen_by(caller)
    async with parallel() as group:
        sums = group.create_task(_kept_sums(reader, database, which, user_type))
        troubles = group.create_task(_kept_troubles(reader, database, which, circuits=caller.visible_tags is None))
        trend = group.create_task(fleet_days(reader, caller, user_type))
    return FleetSummary(*sums.result(), *troubles.result(), trend.result())


def forget_sums(reader: Reader, which: StateFilter) -> None:
    """Drops the kept sums of this list, because many of its orgs have changed; those of other lists expire."""
    for user_type in USER_TYPES:
        reader.cache.forget(("fleet sums", _key(which), user_type))
    reader.cache.forget(("fleet troubles", key_of_tags(which.visible_tags)))


async def fleet_days(reader: Reader, caller: Caller, user_type: UserType) -> list[FleetDay]:
    """The sums of the last 90 days, today's last, over every org that the caller sees; not older than five minutes."""
    database, visible = reader.seen_by(caller), caller.visible_tags
    key = ("fleet trend", key_of_tags(visible), user_type)
    return await reader.cache.get(key, _TREND_SECONDS, lambda: _read_trend(database, reader.now(), user_type, visible))


async def _kept_sums(
    reader: Reader, database: Database, which: StateFilter, user_type: UserType
) -> tuple[FleetTotals, list[Facet]]:
    async def read() -> tuple[FleetTotals, list[Facet]]:
        return await read_totals(database, which, user_type), await read_facets(database, which)

    return await reader.cache.get_costly(("fleet sums", _key(which), user_type), read)


async def _kept_troubles(
    reader: Reader, database: Database, which: StateFilter, *, circuits: bool
) -> tuple[list[FleetTrouble], list[OpenCircuit]]:
    async def read() -> tuple[list[FleetTrouble], list[OpenCircuit]]:
        workers = await list_workers(database, reader.now()) if circuits else []
        return await read_troubles(database, which.visible_tags), open_circuits(workers)

    return await reader.cache.get_costly(("fleet troubles", key_of_tags(which.visible_tags)), read)


async def _read_trend(
    database: Database, now: datetime, user_type: UserType, visible_tags: Sequence[str] | None
) -> list[FleetDay]:
    edges = bucket_edges(now - timedelta(days=TREND_DAYS), now, DAY_SECONDS)
    (series,) = await fleet_columns(database, edges, [user_type], tags=visible_tags)
    days = zip(edges[:-1], series.last, series.missing, strict=True)
    found = [FleetDay(edge.date(), last, missing) for edge, last, missing in days]
    # Orgs that were counted yesterday and have no slot yet today are not known today.
    orgs = [known + missing for known, missing in zip(series.samples, series.missing, strict=True)]
    waiting = max(orgs[-2] - orgs[-1], 0)
    return [*found[:-1], replace(found[-1], unknown=found[-1].unknown + waiting)]


def _key(which: StateFilter) -> tuple[Any, ...]:
    lists = (which.tags, which.states, which.data_centers, which.editions)
    return (key_of_tags(which.visible_tags), which.search, *(tuple(sorted(one)) for one in lists))
