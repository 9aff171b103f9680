"""Pages of the fleet's list, for the Fleet page, its CSV and the API: filtered, sorted, and read page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType
from poller.core.remedies import remedy_of_state
from poller.store.fleet_filter import UNKNOWN_EDITION, Position
from poller.store.fleet_order import SORTS, TEXT_SORTS, FleetOrder
from poller.store.fleet_rows import (
    FleetOrg,
    changed_ids,
    read_outcomes,
    read_rows,
)
from poller.store.orgs.states import StateFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from poller.store.database import Database

__all__ = [
    "SORTS",
    "TEXT_SORTS",
    "UNKNOWN_EDITION",
    "FleetOrder",
    "FleetOrg",
    "FleetPage",
    "FleetQuestion",
    "Position",
    "StateFilter",
    "fleet_page",
    "fleet_row_fields",
    "last_outcomes",
    "order_of",
    "remedy_of",
    "rows_that_changed",
    "stream_fleet",
]

_CHUNK: Final = 500
"""Rows read at a time where all are wanted."""


@dataclass(frozen=True, slots=True)
class FleetQuestion:
    """Which orgs, in which order, and where the page begins (`after`) or ends (`before`); neither: the first page."""

    which: StateFilter = StateFilter()  # noqa: RUF009  # it never changes
    order: FleetOrder = FleetOrder()  # noqa: RUF009
    user_type: UserType = UserType.ACTIVE
    limit: int = 100
    after: Position | None = None
    before: Position | None = None


@dataclass(frozen=True, slots=True)
class FleetPage:
    """Rows in order, and whether there are rows before the first and after the last of them."""

    orgs: list[FleetOrg]
    has_before: bool
    has_after: bool


def order_of(text: str) -> FleetOrder:
    """The order `count` or `-count` means; a `UsageError` for another one."""
    name = text.removeprefix("-")
    if name not in SORTS:
        raise UsageError(f"{text!r} is not an order", f"use one of {', '.join(SORTS)}, with - in front for the reverse")
    return FleetOrder(name, text.startswith("-"))


async def fleet_page(database: Database, question: FleetQuestion) -> FleetPage:
    """The page. Where fewer rows than one page stand before `before`, the first page."""
    after, before, limit = question.after, question.before, question.limit
    rows = await _rows(database, question, after=after, before=before, limit=limit + 1)
    if before is not None and len(rows) <= limit:
        after = before = None
        rows = await _rows(database, question, limit=limit + 1)
    if before is not None:
        return FleetPage(rows[-limit:], has_before=True, has_after=True)
    return FleetPage(rows[:limit], has_before=after is not None, has_after=len(rows) > limit)


async def stream_fleet(database: Database, question: FleetQuestion) -> AsyncIterator[FleetOrg]:
    """Every row of the filter, in order."""
    after: Position | None = None
    while rows := await _rows(database, question, after=after, limit=_CHUNK):
        for row in rows:
            yield row
        after = rows[-1].position


async def rows_that_changed(
    database: Database, digests: Mapping[int, str], user_type: UserType, visible_tags: Sequence[str] | None
) -> list[FleetOrg]:
    """Those of these orgs that a caller may see and whose row is another one by now, by name."""
    ids = await changed_ids(database, digests, user_type, visible_tags)
    if not ids:
        return []
    which = StateFilter(org_ids=ids, visible_tags=visible_tags, removed=True)
    return await read_rows(database, which, FleetOrder("org"), user_type=user_type, limit=len(ids))


async def last_outcomes(database: Database, orgs: Sequence[FleetOrg], polls: int) -> dict[int, list[str]]:
    """The outcomes of the last polls of each org, oldest first."""
    return await read_outcomes(database, [org.org.org_id for org in orgs], polls)


def remedy_of(org: FleetOrg) -> str | None:
    """What a person should do about an org; None: nothing."""
    return remedy_of_state(org.org.state, org.org.state_reason, org.org.parked_remedy)


def fleet_row_fields(row: FleetOrg) -> dict[str, Any]:
    """One row as an object of JSON: every field always there, null where nothing is known."""
    org = row.org
    return {
        "id": org.org_id,
        "name": org.org,
        "state": org.state,
        "state_reason": org.state_reason,
        "remedy": remedy_of(row),
        "since": org.since,
        "data_center": org.data_center,
        "edition": org.edition,
        "licences": org.licences,
        "tags": list(org.tags),
        "interval_seconds": org.interval_seconds,
        "effective_interval_seconds": org.effective_interval_seconds,
        "last_polled_at": org.last_polled_at,
        "last_outcome": org.last_outcome,
        "last_error": org.last_error,
        "counts_at": org.counts_at,
        "counts": {user_type.value: org.counts.get(user_type) for user_type in USER_TYPES},
        "change_7d": row.change_7d,
        "change_30d": row.change_30d,
        "seats": {"purchased": row.purchased, "used": row.used},
        "exhausted_on": row.exhausted_on,
    }


async def _rows(
    database: Database,
    question: FleetQuestion,
    *,
    limit: int,
    after: Position | None = None,
    before: Position | None = None,
) -> list[FleetOrg]:
    return await read_rows(
        database,
        question.which,
        question.order,
        user_type=question.user_type,
        after=after,
        before=before,
        limit=limit,
    )
