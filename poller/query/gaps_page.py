"""The Gaps page: unknown slots by org and by reason, and the ranges of one org."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from poller.query.one_org import org_fields
from poller.store.reading import reading
from poller.store.series.gap_ranges import gap_ranges
from poller.store.series.gap_sums import GapFilter, GapTotals, count_unknown_orgs, sum_gaps
from poller.store.series.retention import raw_since

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.core.callers import Caller
    from poller.core.series import GapSpan
    from poller.query.reader import Reader
    from poller.store.database import Database

__all__ = ["GapFilter", "GapsQuestion", "read_gap_rows", "read_gaps_of_org", "read_gaps_page"]

MOST_RANGES: Final = 500
"""Ranges of one org that the page shows."""


@dataclass(frozen=True, slots=True)
class GapsQuestion:
    """Which gaps, and which rows of the page. `reason` None: every reason."""

    gaps: GapFilter
    reason: str | None = None
    limit: int = 100
    start: int = 1


@dataclass(frozen=True, slots=True)
class GapReason:
    """Unknown slots for one reason, of how many orgs, and the first and the last of them."""

    reason: str
    slots: int
    orgs: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class GapSums:
    """The page. `matching`: rows of all its pages. `never`, `later`: orgs not polled yet, or not since the start.

    `kept_since`: the first day that snapshots are kept of, where the question begins earlier; else None.
    """

    slots: int
    orgs: int
    reasons: Sequence[GapReason]
    rows: Sequence[dict[str, Any]]
    matching: int
    never: int
    later: int
    kept_since: date | None


async def read_gaps_page(reader: Reader, caller: Caller, question: GapsQuestion) -> GapSums:
    """Reads the page; sums over many orgs are kept for a while, so they begin at a whole minute."""
    whole = replace(question.gaps, since=_minute_of(question.gaps.since), until=_minute_of(question.gaps.until))
    question = replace(question, gaps=whole)
    return await reader.cache.get_costly(("gaps page", repr(question)), lambda: _read(reader.seen_by(caller), question))


async def _read(database: Database, question: GapsQuestion) -> GapSums:
    gaps = question.gaps
    async with reading(database) as connection:
        sums = await sum_gaps(connection, gaps, reason=question.reason, limit=question.limit, offset=question.start - 1)
        never, later = await count_unknown_orgs(connection, gaps)
        kept = await raw_since(connection)
    return GapSums(
        slots=sums.whole["slots"],
        orgs=sums.whole["orgs"],
        reasons=[GapReason(*(row[name] for name in _OF_REASON)) for row in sums.by_reason],
        rows=_rows(sums),
        matching=sum(row["parts"] for row in sums.by_reason if question.reason in {None, row["reason"]}),
        never=never,
        later=later,
        kept_since=kept if gaps.since.date() < kept else None,
    )


async def read_gap_rows(database: Database, question: GapsQuestion) -> list[dict[str, Any]]:
    """Every row of the table, not only those of the page."""
    async with reading(database) as connection:
        return _rows(await sum_gaps(connection, question.gaps, reason=question.reason, limit=None))


async def read_gaps_of_org(
    database: Database, question: GapsQuestion, visible_tags: Sequence[str] | None
) -> tuple[str, list[GapSpan]] | None:
    """The name of the org of the question and the newest ranges of its gaps; None where the caller sees no such org."""
    gaps = question.gaps
    org = await org_fields(database, gaps.org_id or 0, visible_tags=visible_tags)
    if org is None:
        return None
    usual = org["interval_seconds"]
    async with reading(database) as connection:
        found = await gap_ranges(
            connection, org["id"], gaps.since, gaps.until, interval_seconds=usual, limit=MOST_RANGES
        )
    return org["name"], [one for one in found if question.reason in {None, one.reason}]


def _rows(sums: GapTotals) -> list[dict[str, Any]]:
    return [{name: row[name] for name in _OF_ORG} for row in sums.by_org]


def _minute_of(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


_OF_ORG: Final = ("org_id", "org", "data_center", "reason", "slots", "first", "last")
_OF_REASON: Final = ("reason", "slots", "orgs", "first", "last")
