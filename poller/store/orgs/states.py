"""Reads the view `org_states`: pages of orgs with state and counts, and the number of orgs in each state.

A page begins after a key, not at an offset, so that no transaction lasts longer than a page, and orgs that are added or
removed do not shift the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from poller.core.model import COLUMNS
from poller.core.states import OrgState
from poller.store.listing import containing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.store.queries import Queries, Row

Sort = Literal["org", "since", "last_polled_at", "counts_at"]
SORTS: Final[tuple[Sort, ...]] = ("org", "since", "last_polled_at", "counts_at")


@dataclass(frozen=True, slots=True)
class StateFilter:
    """Which orgs to list; an empty field matches every org. Removed orgs are left out unless `removed`.

    `visible_tags`: the caller sees only orgs with one of these tags; None: every org.
    """

    org_ids: Sequence[int] | None = None
    search: str | None = None
    tags: Sequence[str] = ()
    states: Sequence[str] = ()
    data_centers: Sequence[str] = ()
    editions: Sequence[str] = ()
    removed: bool = False
    visible_tags: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class OrgPage:
    """Orgs in order, and the key after which the next page begins; None on the last page."""

    orgs: list[OrgState]
    after: tuple[Any, int] | None = field(default=None)


async def read_page(
    database: Queries, which: StateFilter, *, sort: Sort = "org", after: tuple[Any, int] | None = None, limit: int = 500
) -> OrgPage:
    """Returns a page of orgs, sorted by name or by a time: unknown times first, then the oldest."""
    where = "" if which.removed else " AND o.removed_at IS NULL"
    if after is not None:
        where += f" AND ({_KEYS[sort]}, o.id) > ($9, $10)"
    query = f"{_ORGS}{where} ORDER BY {_KEYS[sort]}, o.id LIMIT $8"
    rows = await database.fetch(query, *_arguments(which), limit, *(after or ()))
    last = rows[-1] if len(rows) == limit else None
    key = None if last is None else (last["org"] if sort == "org" else last[sort] or _LONG_AGO, last["org_id"])
    return OrgPage([_state(row) for row in rows], key)


async def count_states(database: Queries, which: StateFilter) -> dict[str, int]:
    """Returns the number of orgs in each state."""
    where = "" if which.removed else " AND o.removed_at IS NULL"
    rows = await database.fetch(f"{_COUNT}{where} GROUP BY s.state", *_arguments(which))
    return {row["state"]: row["orgs"] for row in rows}


async def longest_name(database: Queries) -> int:
    """Returns the length of the longest name, for a table that is printed row by row."""
    # states.longest_name
    longest: int | None = (await database.fetch("SELECT max(length(name)) FROM orgs WHERE removed_at IS NULL"))[0][0]
    return longest or 0


def _arguments(which: StateFilter) -> list[object]:
    pattern = None if not which.search else containing(which.search)
    lists = [list(one) or None for one in (which.tags, which.states, which.data_centers, which.editions)]
    visible = None if which.visible_tags is None else list(which.visible_tags)
    return [None if which.org_ids is None else list(which.org_ids), pattern, *lists, visible]


def _state(row: Row) -> OrgState:
    known = {name: row[name] for name in OrgState.__dataclass_fields__ if name not in {"counts", "tags"}}
    counts = {user_type: row[column] for user_type, column in COLUMNS.items() if row[column] is not None}
    return OrgState(**known, tags=tuple(row["tags"]), counts=counts)


# The sort key of an unknown time. Finite, because asyncpg sends the year 1 as -infinity.
_LONG_AGO: Final = datetime(1900, 1, 1, tzinfo=UTC)
_KEYS: Final[Mapping[str, str]] = {
    "org": "o.name",
    **{sort: f"coalesce(s.{sort}, '{_LONG_AGO.isoformat()}'::timestamptz)" for sort in SORTS if sort != "org"},
}
_WHERE: Final = """
WHERE ($1::int[] IS NULL OR o.id = ANY($1)) AND ($2::text IS NULL OR o.name ILIKE $2)
  AND ($3::text[] IS NULL OR o.tags @> $3) AND ($4::text[] IS NULL OR s.state = ANY($4))
  AND ($5::text[] IS NULL OR o.data_center = ANY($5)) AND ($6::text[] IS NULL OR o.edition = ANY($6))
  AND ($7::text[] IS NULL OR o.tags && $7)
"""

# states.page: reads `orgs` first, so that the index on names gives the first page.
_ORGS: Final = f"""
SELECT s.*, o.zgid, o.api_version, o.poll_interval_seconds, o.parked_remedy,
       CASE WHEN k.refresh_token IS NOT NULL THEN 'refresh_token'
            WHEN k.grant_code IS NOT NULL THEN 'grant_code'
            WHEN k.soid IS NOT NULL THEN 'soid' END AS "grant",
       {", ".join(f"l.{column}" for column in COLUMNS.values())}
FROM orgs o
JOIN LATERAL (
    SELECT org_id, org, state, state_reason, since, tags, data_center, edition, licences, interval_seconds,
           effective_interval_seconds, last_polled_at, last_outcome, last_error, counts_at
    FROM org_states WHERE org_id = o.id
) AS s ON true
LEFT JOIN latest_snapshots l ON l.org_id = o.id
LEFT JOIN org_credentials k ON k.org_id = o.id
{_WHERE}
"""  # noqa: S608 - names of the model

# states.count
_COUNT: Final = f"""
SELECT s.state, count(*)::int AS orgs FROM orgs o JOIN org_states s ON s.org_id = o.id
{_WHERE}
"""  # noqa: S608
