"""The Seats page: seats with their forecasts page by page, totals, sums by tag, and the anomalies of the last days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.org_filter import OrgFilter
from poller.query.cache import key_of_tags
from poller.query.parallel import parallel
from poller.query.seats import SEAT_COLUMNS, problem_of
from poller.store.capacity.lists import anomalies_page, count_anomalies
from poller.store.capacity.seat_rows import (
    SHOWN,
    SORTS,
    SeatRowFilter,
    read_seat_order,
    read_seat_rows,
    seat_facets,
    seat_rows_of,
    seat_sums_of_tags,
    seat_totals,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from poller.query.cache import AnswerCache
    from poller.store.database import Database

__all__ = ["SHOWN", "SORTS", "SeatRowFilter", "SeatsQuestion", "read_seats", "stream_seat_rows"]

ANOMALY_DAYS: Final = 30
ANOMALIES_LISTED: Final = 100
SEAT_FIELDS: Final = (
    "org_id",
    *SEAT_COLUMNS,
    "per_day",
    "exhausted_on",
    "exhausted_low",
    "exhausted_high",
    "backtest_error",
    "backtest_windows",
    "problem",
)
_CHUNK: Final = 500
"""Rows read at a time where all are wanted."""
_FACETS_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class SeatsQuestion:
    """Which orgs, in which order, and where the page begins (`after`, the id of an org) or ends (`before`).

    `kinds`, `severities`: of the anomalies; empty: all.
    """

    which: SeatRowFilter
    sort: str = "runs_out"
    descending: bool = False
    after: int | None = None
    before: int | None = None
    limit: int = 100
    kinds: Sequence[str] = ()
    severities: Sequence[str] = ()

    @property
    def anomalies_since(self) -> date:
        """The first day that anomalies are listed of."""
        return self.which.today - timedelta(days=ANOMALY_DAYS)


@dataclass(frozen=True, slots=True)
class Anomalies:
    """The first anomalies of the chosen kinds, and how many there are of each kind and severity."""

    rows: Sequence[Mapping[str, Any]]
    counts: Mapping[tuple[str, str], int]
    more: bool


@dataclass(frozen=True, slots=True)
class SeatsAnswer:
    """What the page shows. `totals` of all matching orgs; `currencies`: idle cost and orgs of each currency."""

    rows: Sequence[Mapping[str, Any]]
    has_before: bool
    has_after: bool
    totals: Mapping[str, Any]
    currencies: Sequence[Mapping[str, Any]]
    tags: Sequence[Mapping[str, Any]]
    facets: Mapping[str, Sequence[tuple[str, int]]]
    anomalies: Anomalies


async def read_seats(
    cache: AnswerCache, database: Database, question: SeatsQuestion, *, by_tag: bool = False
) -> SeatsAnswer:
    """Reads the page; with `by_tag`, sums by tag instead of rows of orgs."""
    which = question.which
    async with parallel() as group:
        totals = group.create_task(_totals(cache, database, which))
        page = None if by_tag else group.create_task(_page(cache, database, question))
        facets = group.create_task(_facets(cache, database, which.visible_tags))
        anomalies = group.create_task(_anomalies(cache, database, question))
    sums = totals.result()
    rows, before, after = ([], False, False) if page is None else page.result()
    return SeatsAnswer(
        rows=rows,
        has_before=before,
        has_after=after,
        totals=next(one for one in sums if not one["is_currency"]),
        currencies=[one for one in sums if one["currency"] is not None],
        tags=_by_tag([dict(row) for row in await seat_sums_of_tags(database, which)]) if by_tag else [],
        facets=facets.result(),
        anomalies=anomalies.result(),
    )


async def stream_seat_rows(database: Database, question: SeatsQuestion) -> AsyncIterator[dict[str, Any]]:
    """Every row of the filter, in order, as JSON and CSV have it."""
    after: int | None = None
    which, sort, descending = question.which, question.sort, question.descending
    while rows := await read_seat_rows(database, which, sort=sort, descending=descending, limit=_CHUNK, after=after):
        for row in rows:
            yield seat_fields(dict(row))
        after = rows[-1]["org_id"]


def seat_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row as a JSON object; `problem`: why Zoho does not say how many seats there are."""
    problem = problem_of(row["code"], row["remedy"])
    return {name: problem if name == "problem" else row[name] for name in SEAT_FIELDS}


async def _page(
    cache: AnswerCache, database: Database, question: SeatsQuestion
) -> tuple[list[dict[str, Any]], bool, bool]:
    """Rows, and whether there are rows before and after. The first page, where that place is not in the list.

    To sort a large fleet is costly, so the order is kept for a while. The rows themselves are never kept.
    """
    key = ("seat order", repr(replace(question, kinds=(), severities=())))
    org_ids, before, after = await cache.get_costly(key, lambda: _order(database, question))
    return [dict(row) for row in await seat_rows_of(database, question.which, org_ids)], before, after


async def _order(database: Database, question: SeatsQuestion) -> tuple[list[int], bool, bool]:
    """The orgs of a page, and whether there are orgs before and after."""
    limit = question.limit
    org_ids = await _org_ids(database, question)
    if not org_ids or (question.before is not None and len(org_ids) <= limit):
        question = replace(question, before=None, after=None)
        org_ids = await _org_ids(database, question)
    if question.before is not None:
        return org_ids[-limit:], True, True
    return org_ids[:limit], question.after is not None, len(org_ids) > limit


async def _org_ids(database: Database, question: SeatsQuestion) -> list[int]:
    return await read_seat_order(
        database,
        question.which,
        sort=question.sort,
        descending=question.descending,
        limit=question.limit + 1,
        after=question.after,
        before=question.before,
    )


async def _totals(cache: AnswerCache, database: Database, which: SeatRowFilter) -> list[dict[str, Any]]:
    """Sums over every matching org: costly in a large fleet, so they are kept for a while."""

    async def read() -> list[dict[str, Any]]:
        return [dict(row) for row in await seat_totals(database, which)]

    return await cache.get_costly(("seat totals", repr(replace(which, show="all"))), read)


def _by_tag(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each tag, with the idle cost of each of its currencies."""
    found: dict[str | None, dict[str, Any]] = {}
    for row in rows:
        of_tag = found.setdefault(row["tag"], {"tag": row["tag"], "costs": [], "next_renewal": None})
        for name in ("orgs", "known", "runs_out_90"):
            of_tag[name] = of_tag.get(name, 0) + row[name]
        for name in ("purchased", "used", "idle"):
            of_tag[name] = row[name] if of_tag.get(name) is None else of_tag[name] + (row[name] or 0)
        if row["idle_cost"] is not None:
            of_tag["costs"].append((row["currency"], row["idle_cost"]))
        days = [day for day in (of_tag["next_renewal"], row["next_renewal"]) if day is not None]
        of_tag["next_renewal"] = min(days, default=None)
    return list(found.values())


async def _facets(
    cache: AnswerCache, database: Database, visible_tags: Sequence[str] | None
) -> dict[str, list[tuple[str, int]]]:
    async def read() -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {"data_center": [], "edition": [], "tag": []}
        for row in await seat_facets(database, visible_tags):
            found[row["facet"]].append((row["value"], row["orgs"]))
        return found

    return await cache.get(("seat facets", key_of_tags(visible_tags)), _FACETS_SECONDS, read)


async def _anomalies(cache: AnswerCache, database: Database, question: SeatsQuestion) -> Anomalies:
    which, since = question.which, question.anomalies_since
    orgs = OrgFilter(which.visible_tags, which.tags, which.data_centers)
    page = await anomalies_page(
        database,
        orgs,
        since,
        kinds=question.kinds,
        severities=question.severities,
        limit=ANOMALIES_LISTED,
    )
    counts = await cache.get_costly(
        ("anomaly counts", repr(orgs), since), lambda: count_anomalies(database, orgs, since)
    )
    return Anomalies([dict(row) for row in page.rows], counts, page.after is not None)
