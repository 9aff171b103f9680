"""Lists of facts about orgs, a page at a time, for pages and the API: the same facts as the commands print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.core.model import COLUMNS
from poller.core.remedies import remedy_for
from poller.store.capacity.lists import anomalies_page, forecasts_page
from poller.store.capacity.seats import seats_page
from poller.store.series.lists import gaps_page, latest_page
from poller.store.series.polls import read_polls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from poller.core.org_filter import OrgFilter
    from poller.store.database import Database
    from poller.store.listing import RowPage
    from poller.store.queries import Queries, Row


@dataclass(frozen=True, slots=True)
class ListPage:
    """Items as JSON has them, and the key of the last one; None if no more follow."""

    items: list[dict[str, Any]]
    after: Sequence[Any] | None


async def list_latest(
    database: Database, orgs: OrgFilter, *, limit: int, after: Sequence[Any] | None = None
) -> ListPage:
    """The last known counts of each org. `earlier`: the user types whose count is older than `polled_at`."""
    page = await latest_page(database, orgs, limit=limit, after=after)
    items = [
        {
            "org_id": row["org_id"],
            "org": row["org"],
            "slot": row["slot"],
            "polled_at": row["polled_at"],
            "counts": counts_of(row),
            "earlier": list(row["earlier"]),
        }
        for row in page.rows
    ]
    return ListPage(items, page.after)


async def list_gaps(
    database: Database,
    orgs: OrgFilter,
    since: datetime,
    until: datetime,
    *,
    limit: int,
    after: Sequence[Any] | None = None,
) -> ListPage:
    """The slots whose counts are not all known, and why, by org and then by slot."""
    return _as_they_are(await gaps_page(database, orgs, since, until, limit=limit, after=after))


async def list_seats(
    database: Database,
    orgs: OrgFilter,
    *,
    renews_before: date | None = None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> ListPage:
    """The seats of each org by name."""
    page = await seats_page(database, orgs, renews_before=renews_before, limit=limit, after=after)
    items = []
    for row in page.rows:
        fields = {name: row[name] for name in row.keys() if name not in {"tags", "code", "remedy"}}  # noqa: SIM118
        problem = None if row["code"] is None else {"code": row["code"], "remedy": row["remedy"]}
        items.append({**fields, "problem": problem})
    return ListPage(items, page.after)


async def list_forecasts(
    database: Database,
    orgs: OrgFilter,
    *,
    exhausted_before: date | None = None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> ListPage:
    """The latest forecasts of the service; `exhausted_before`: of orgs whose seats run out before that day."""
    page = await forecasts_page(database, orgs, exhausted_before=exhausted_before, limit=limit, after=after)
    return _as_they_are(page)


async def list_anomalies(
    database: Database,
    orgs: OrgFilter,
    since: date,
    *,
    kinds: Sequence[str] = (),
    limit: int,
    after: Sequence[Any] | None = None,
) -> ListPage:
    """The anomalies since that day, the newest first."""
    return _as_they_are(await anomalies_page(database, orgs, since, kinds=kinds, limit=limit, after=after))


async def list_polls(
    database: Queries,
    org_id: int,
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int,
) -> ListPage:
    """The polls of slots in `[since, before)` of one org, the newest first; the key is the slot."""
    rows = await read_polls(database, org_id, since=since, before=before, limit=limit + 1)
    items = [_poll(row) for row in rows[:limit]]
    return ListPage(items, (items[-1]["slot"],) if len(rows) > limit else None)


def counts_of(row: Row) -> dict[str, int | None]:
    """The ten counts of a row; None: unknown."""
    return {user_type.value: row[column] for user_type, column in COLUMNS.items()}


def _as_they_are(page: RowPage) -> ListPage:
    return ListPage([dict(row) for row in page.rows], page.after)


def _poll(row: Row) -> dict[str, Any]:
    error = row["error"]
    errors: Mapping[str, str] | None = row["errors"]
    return {
        "slot": row["slot"],
        "polled_at": row["polled_at"],
        "outcome": row["outcome"],
        "error": error,
        "remedy": None if error is None else remedy_for(error),
        "late_seconds": row["late_seconds"],
        "requests": row["requests"],
        "duration_ms": row["duration_ms"],
        "credits_remaining": row["credits_remaining"],
        "counts": counts_of(row),
        "errors": dict(errors or {}),
    }
