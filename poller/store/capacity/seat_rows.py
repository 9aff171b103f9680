"""Reads seats with their forecasts, sorted and filtered, a page at a time; their totals; and sums by tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.store.capacity.seats import FACTS
from poller.store.listing import containing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from poller.store.queries import Queries, Row


@dataclass(frozen=True, slots=True)
class SeatRowFilter:
    """Orgs that match every field; an empty field matches every org. `visible_tags`: the caller sees only these.

    `show`: a name of `SHOWN`. `today`: the day that run-out days and renewals are measured from.
    """

    today: date
    visible_tags: Sequence[str] | None = None
    search: str = ""
    tags: Sequence[str] = ()
    data_centers: Sequence[str] = ()
    editions: Sequence[str] = ()
    show: str = "all"

    def arguments(self) -> list[object]:
        """`$1` to `$6` of the statements."""
        visible = None if self.visible_tags is None else list(self.visible_tags)
        lists = [list(one) or None for one in (self.tags, self.data_centers, self.editions)]
        return [self.today, visible, containing(self.search) if self.search else None, *lists]


async def read_seat_rows(
    database: Queries,
    which: SeatRowFilter,
    *,
    sort: str,
    descending: bool,
    limit: int,
    after: int | None = None,
) -> list[Row]:
    """Returns up to `limit` rows after the row of an org (its id), in order; unknown values come last."""
    return await _page(database, "*", which, sort, descending=descending, limit=limit, after=after, before=None)


async def read_seat_order(
    database: Queries,
    which: SeatRowFilter,
    *,
    sort: str,
    descending: bool,
    limit: int,
    after: int | None = None,
    before: int | None = None,
) -> list[int]:
    """Returns the ids of up to `limit` orgs after or before an org, in the order of `read_seat_rows`."""
    rows = await _page(database, "org_id", which, sort, descending=descending, limit=limit, after=after, before=before)
    return [row["org_id"] for row in rows]


async def seat_rows_of(database: Queries, which: SeatRowFilter, org_ids: Sequence[int]) -> list[Row]:
    """Returns the rows of those of these orgs that match, in the given order."""
    rows = await database.fetch(_THESE.format(shown=SHOWN[which.show]), *which.arguments(), list(org_ids))
    found = {row["org_id"]: row for row in rows}
    return [found[org_id] for org_id in org_ids if org_id in found]


async def seat_totals(database: Queries, which: SeatRowFilter) -> list[Row]:
    """Returns the sums over all matching orgs, `show` aside, then those of each currency (`is_currency`)."""
    return await database.fetch(_TOTALS, *which.arguments())


async def seat_sums_of_tags(database: Queries, which: SeatRowFilter) -> list[Row]:
    """Returns sums by tag and currency; an org with two tags counts in both, an org without tags under NULL."""
    return await database.fetch(_BY_TAG.format(shown=SHOWN[which.show]), *which.arguments())


async def seat_facets(database: Queries, visible_tags: Sequence[str] | None) -> list[Row]:
    """Returns how many orgs have each data centre, edition and tag, the most frequent first."""
    return await database.fetch(_FACETS, None if visible_tags is None else list(visible_tags))


async def _page(
    database: Queries,
    columns: str,
    which: SeatRowFilter,
    sort: str,
    *,
    descending: bool,
    limit: int,
    after: int | None,
    before: int | None,
) -> list[Row]:
    value = f"coalesce({'-' if descending else ''}({SORTS[sort]})::float8, 'infinity')"
    backwards, position = before is not None, after if before is None else before
    place = "" if position is None else _PLACE.format(value=value, beyond="<" if backwards else ">")
    direction = "DESC" if backwards else "ASC"
    shown = SHOWN[which.show]
    statement = _PAGE.format(columns=columns, value=value, shown=shown, place=place, direction=direction)
    rows = await database.fetch(statement, *which.arguments(), limit, *([] if position is None else [position]))
    return rows[::-1] if backwards else rows


_IS_FULL: Final = "(purchased IS NOT NULL AND used >= purchased)"
SORTS: Final[Mapping[str, str]] = {
    "runs_out": (
        f"CASE WHEN {_IS_FULL} THEN -1 WHEN exhausted_on IS NOT NULL THEN greatest(exhausted_on - today, 0) END"
    ),
    "org": "0",
    "purchased": "purchased",
    "used": "used",
    "used_share": "used / nullif(purchased, 0)::float8",
    "idle": "idle",
    "idle_cost": "idle_cost",
    "renews_on": "CASE WHEN renews_on >= today THEN renews_on - today END",
    "error": "backtest_error",
    "growth": "per_day",
}
"""Each order and the number it sorts by; orgs with the same number are in the order of their names."""
SHOWN: Final[Mapping[str, str]] = {
    "all": "true",
    "runs_out_30": f"({_IS_FULL} OR exhausted_on < today + 30)",
    "runs_out_90": f"({_IS_FULL} OR exhausted_on < today + 90)",
    "idle": "idle > 0",
    "renews_90": "(renews_on >= today AND renews_on < today + 90)",
    "unknown": "(purchased IS NULL OR used IS NULL)",
}
"""The conditions that a page can be limited to."""

# seat_rows.seats: a part of the statements below.
_OF: Final = f"""
WITH seats AS MATERIALIZED (
    SELECT s.*, $1::date AS today, f.made_at, f.per_day, f.method, f.seats AS forecast_seats, f.exhausted_on,
           f.exhausted_low, f.exhausted_high, f.backtest_error, f.backtest_windows
    FROM ({FACTS} o.removed_at IS NULL AND ($2::text[] IS NULL OR o.tags && $2)
          AND ($3::text IS NULL OR o.name ILIKE $3) AND ($4::text[] IS NULL OR o.tags @> $4)
          AND ($5::text[] IS NULL OR o.data_center = ANY($5))
          AND ($6::text[] IS NULL OR coalesce(o.edition, 'unknown') = ANY($6))<these>) AS s
    LEFT JOIN forecast_results f ON f.org_id = s.org_id AND f.user_type = 'ActiveUsers'
)
"""  # noqa: S608 - it stands in `seats`
_SEATS: Final = _OF.replace("<these>", "")
_PLACE: Final = " AND ({value}, org, org_id) {beyond} (SELECT {value}, org, org_id FROM seats WHERE org_id = $8)"

_ORDER: Final = "ORDER BY {value} {direction}, org {direction}, org_id {direction} LIMIT $7"

# seat_rows.page
_PAGE: Final = f"""
{_SEATS}
SELECT {{columns}} FROM seats WHERE {{shown}}{{place}} {_ORDER}
"""  # noqa: S608 - it stands above

# seat_rows.these
_THESE: Final = f"""
{_OF.replace("<these>", " AND o.id = ANY ($7::int[])")}
SELECT * FROM seats WHERE {{shown}}
"""  # noqa: S608 - it stands above

# seat_rows.totals
_TOTALS: Final = f"""
{_SEATS}
SELECT grouping(currency) = 0 AS is_currency, currency, count(*)::int AS orgs,
       (count(*) FILTER (WHERE purchased IS NOT NULL AND used IS NOT NULL))::int AS known,
       (sum(purchased) FILTER (WHERE used IS NOT NULL))::bigint AS purchased,
       (sum(used) FILTER (WHERE purchased IS NOT NULL))::bigint AS used, sum(idle)::bigint AS idle,
       sum(idle_cost) AS idle_cost, (count(*) FILTER (WHERE idle > 0 AND price IS NULL))::int AS without_price,
       {", ".join(f"(count(*) FILTER (WHERE {shown}))::int AS shown_{name}" for name, shown in SHOWN.items())},
       (count(*) FILTER (WHERE {_IS_FULL}))::int AS is_full,
       min(CASE WHEN NOT {_IS_FULL} AND exhausted_on >= today THEN exhausted_on END) AS soonest,
       min(renews_on) FILTER (WHERE renews_on >= today) AS next_renewal,
       (sum(purchased) FILTER (WHERE {SHOWN["renews_90"]}))::bigint AS renewing_seats
FROM seats GROUP BY GROUPING SETS ((), (currency)) ORDER BY 1, idle_cost DESC NULLS LAST, currency
"""  # noqa: S608 - it stands above

# seat_rows.by_tag
_BY_TAG: Final = f"""
{_SEATS}
SELECT tag, currency, count(*)::int AS orgs,
       (count(*) FILTER (WHERE purchased IS NOT NULL AND used IS NOT NULL))::int AS known,
       (sum(purchased) FILTER (WHERE used IS NOT NULL))::bigint AS purchased,
       (sum(used) FILTER (WHERE purchased IS NOT NULL))::bigint AS used, sum(idle)::bigint AS idle,
       sum(idle_cost) AS idle_cost, (count(*) FILTER (WHERE {SHOWN["runs_out_90"]}))::int AS runs_out_90,
       min(renews_on) FILTER (WHERE renews_on >= today) AS next_renewal
FROM seats LEFT JOIN LATERAL unnest(tags) AS tag ON true
WHERE {{shown}}
GROUP BY tag, currency ORDER BY tag NULLS LAST, currency NULLS LAST
"""  # noqa: S608 - it stands above

# seat_rows.facets
_FACETS: Final = """
WITH seen AS (
    SELECT data_center, coalesce(edition, 'unknown') AS edition, tags FROM orgs
    WHERE removed_at IS NULL AND ($1::text[] IS NULL OR tags && $1)
)
SELECT 'data_center' AS facet, data_center AS value, count(*)::int AS orgs FROM seen GROUP BY 2
UNION ALL SELECT 'edition', edition, count(*)::int FROM seen GROUP BY 2
UNION ALL SELECT 'tag', tag, count(*)::int FROM seen, unnest(tags) AS tag GROUP BY 2
ORDER BY facet, orgs DESC, value
"""
