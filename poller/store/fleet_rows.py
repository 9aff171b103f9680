"""Reads pages of the fleet's list: one row per org with state, counts, changes, seats and run-out day, in any order.

A page begins after the position of a row, or ends before it, so that orgs that are added or change state do not shift
the others. Rows without a value in the sorted column come last in both directions; equal values are in the order of
names, with numbers in names in natural order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS, UserType
from poller.core.states import OrgState
from poller.store.capacity.seats import SEATS_OF_ORG
from poller.store.fleet_filter import CURRENT, TODAY, Arguments, Position
from poller.store.fleet_need import is_quick, page_by_need
from poller.store.fleet_order import FleetOrder, sorted_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.orgs.states import StateFilter
    from poller.store.queries import Row

HISTORY_DAYS: Final = 30
"""Days before today in a row's history."""


@dataclass(frozen=True, slots=True)
class FleetOrg:
    """One row. `history`: the last known count of each of the last 30 days, oldest first, and today's; None: unknown.

    `count`: the last known one. Changes are measured from a count of the last 24 hours. `digest` changes whenever the
    state or a count does.
    """

    org: OrgState
    count: int | None
    change_7d: int | None
    change_30d: int | None
    history: list[int | None]
    purchased: int | None
    used: int | None
    exhausted_on: date | None
    forecast_at: datetime | None
    digest: str
    position: Position


async def read_rows(
    database: Database,
    which: StateFilter,
    order: FleetOrder,
    *,
    user_type: UserType = UserType.ACTIVE,
    after: Position | None = None,
    before: Position | None = None,
    limit: int = 100,
) -> list[FleetOrg]:
    """Returns up to `limit` rows in order: the first ones, or the ones next to a position, after or before it."""
    arguments = Arguments()
    position, backwards = after or before, before is not None
    if order.sort == "need" and is_quick(which, position):
        last_first = order.descending
        page = page_by_need(which, arguments, position, last_first=last_first, backwards=backwards, limit=limit)
    else:
        page = sorted_page(which, order, user_type, arguments, position, backwards=backwards, limit=limit)
    query = _ROWS.replace("<page>", page)
    rows = await database.fetch(_of_type(query, user_type), *arguments.values)
    found = [_org(row) for row in rows]
    return found[::-1] if backwards else found


async def changed_ids(
    database: Database, digests: Mapping[int, str], user_type: UserType, visible_tags: Sequence[str] | None
) -> list[int]:
    """Returns those of these orgs whose digest is another one by now."""
    rows = await database.fetch(_of_type(_CHANGED, user_type), list(digests), list(digests.values()), visible_tags)
    return [row["id"] for row in rows]


async def read_outcomes(database: Database, org_ids: Sequence[int], polls: int) -> dict[int, list[str]]:
    """Returns the outcomes of the last polls of each org, oldest first."""
    rows = await database.fetch(_OUTCOMES, list(org_ids), polls)
    return {row["org_id"]: row["outcomes"] for row in rows}


def _of_type(query: str, user_type: UserType) -> str:
    """The query with this type's column and number."""
    return query.replace("<column>", COLUMNS[user_type]).replace("<number>", str(list(COLUMNS).index(user_type) + 1))


def _org(row: Row) -> FleetOrg:
    history: list[int | None] = [None] * HISTORY_DAYS
    for ago, last in zip(row["ago"] or (), row["lasts"] or (), strict=True):
        history[HISTORY_DAYS - ago] = last
    current = row["current"]
    month, week = history[0], history[HISTORY_DAYS - 7]
    history.append(row["today"])
    known = {name: row[name] for name in _STATE_FIELDS}
    counts = {user_type: row[column] for user_type, column in COLUMNS.items() if row[column] is not None}
    return FleetOrg(
        org=OrgState(**known, tags=tuple(row["tags"]), grant=None, counts=counts),
        count=row["count"],
        change_7d=None if current is None or week is None else current - week,
        change_30d=None if current is None or month is None else current - month,
        history=history,
        purchased=row["purchased"],
        used=row["used"],
        exhausted_on=row["exhausted_on"],
        forecast_at=row["made_at"],
        digest=row["digest"],
        position=Position(row["key"], row["name_key"], row["org_id"]),
    )


_STATE_FIELDS: Final = [name for name in OrgState.__dataclass_fields__ if name not in {"counts", "tags", "grant"}]
_DIGEST: Final = """left(md5(concat_ws('|', o.name, t.state, t.state_reason, extract(epoch FROM t.last_polled_at),
    l.slot, l.<column>, extract(epoch FROM o.updated_at))), 4)"""

# fleet_rows.page: chooses the rows of the page first, then reads everything about these. Dirty days, and days from the
# watermark on, are computed for the orgs of the page only. OFFSET 0: else the planner computes the state of all orgs.
_ROWS: Final = f"""
WITH <page>, open AS MATERIALIZED (
    SELECT day FROM open_days() AS open (day) WHERE day < {TODAY}
)
SELECT page.key, page.name_key, t.org_id, t.org, t.state, t.state_reason, t.since, t.tags, t.data_center, t.edition,
       t.licences, t.interval_seconds, t.effective_interval_seconds, t.last_polled_at, t.last_outcome, t.last_error,
       t.counts_at, o.zgid, o.api_version, o.poll_interval_seconds, o.parked_remedy,
       {", ".join(f"l.{column}" for column in COLUMNS.values())}, l.<column> AS count, {CURRENT} AS current,
       CASE WHEN coalesce(l.<column>_slot, l.slot) >= ({TODAY})::timestamp AT TIME ZONE 'UTC' THEN l.<column> END
           AS today,
       s.purchased, s.used, f.exhausted_on, f.made_at, h.ago, h.lasts, {_DIGEST} AS digest
FROM page
JOIN orgs o ON o.id = page.id
JOIN LATERAL (SELECT * FROM org_states WHERE org_id = page.id OFFSET 0) AS t ON true
LEFT JOIN latest_snapshots l ON l.org_id = page.id
LEFT JOIN forecast_results f ON f.org_id = page.id AND f.user_type = 'ActiveUsers'
{SEATS_OF_ORG}
CROSS JOIN LATERAL (
    SELECT array_agg({TODAY} - d.day) AS ago, array_agg(d.last) AS lasts
    FROM (
        SELECT day, last FROM daily_counts
        WHERE org_id = page.id AND type = <number> AND day >= {TODAY} - {HISTORY_DAYS} AND day < {TODAY}
      UNION ALL
        SELECT x.day, c.last FROM dirty_days x CROSS JOIN LATERAL counts_of_day(page.id, x.day, <number>) AS c
        WHERE x.org_id = page.id AND x.day >= {TODAY} - {HISTORY_DAYS} AND x.day < {TODAY}
      UNION ALL
        SELECT open.day, c.last FROM open CROSS JOIN LATERAL counts_of_day(page.id, open.day, <number>) AS c
        WHERE open.day >= {TODAY} - {HISTORY_DAYS}
    ) AS d
) AS h
ORDER BY page.place
"""  # noqa: S608 - names of the model

# fleet_rows.changed
_CHANGED: Final = f"""
SELECT o.id FROM unnest($1::int[], $2::text[]) AS shown (id, digest)
JOIN orgs o ON o.id = shown.id
JOIN LATERAL (SELECT * FROM org_states WHERE org_id = shown.id OFFSET 0) AS t ON true
LEFT JOIN latest_snapshots l ON l.org_id = shown.id
WHERE ($3::text[] IS NULL OR o.tags && $3) AND {_DIGEST} <> shown.digest
"""  # noqa: S608 - it stands above

# fleet_rows.outcomes: an org is polled at least once a day, so older months need not be searched.
_OUTCOMES: Final = """
SELECT o.id AS org_id, ARRAY(
    SELECT outcome FROM (
        SELECT slot, outcome FROM org_snapshots WHERE org_id = o.id AND slot > now() - interval '8 days'
        ORDER BY slot DESC LIMIT $2
    ) AS newest ORDER BY slot
) AS outcomes
FROM unnest($1::int[]) AS o (id)
"""
