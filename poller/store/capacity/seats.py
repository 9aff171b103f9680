"""Stores the seats of orgs: readings over time, contracts, and why seats could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.store.capacity.contracts import put_contracts
from poller.store.listing import MATCHES, RowPage, matching, read_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import date, datetime

    from poller.core.org_filter import OrgFilter
    from poller.store.database import Database
    from poller.store.queries import Queries, Row


_PREFETCH: Final = 500
"""Rows fetched at a time."""


class SeatReading(NamedTuple):
    """Seats at one moment. `source`: `features` or `org`, the two Zoho requests that report seats. None: not known."""

    purchased: int | None
    used: int | None
    edition: str | None
    renews_on: date | None
    source: str


@dataclass(frozen=True, slots=True)
class Contract:
    """Changes of a contract, by column; None clears a value."""

    changes: Mapping[str, Any]


async def save_seats(database: Database, org_id: int, reading: SeatReading, taken_at: datetime) -> None:
    """Adds a reading, and deletes the reason why the last one failed; skips an org that no longer exists."""
    await database.execute(_SAVE, org_id, taken_at, *reading)
    # seats.readable
    await database.execute("DELETE FROM seat_refusals WHERE org_id = $1 AND $2 = 'features'", org_id, reading.source)


async def save_refusal(database: Database, org_id: int, code: str, remedy: str, now: datetime) -> bool:
    """Records why seats cannot be read; returns whether the reason is new."""
    new: bool | None = await database.fetchval(_REFUSE, org_id, code, remedy, now)
    return bool(new)


async def set_contract(database: Database, org_ids: Sequence[int], contract: Contract) -> int:
    """Changes the contracts of these orgs; returns the number of orgs."""
    async with database.transaction() as connection:
        await put_contracts(connection, dict.fromkeys(org_ids, contract.changes))
    return len(org_ids)


async def stream_seats(
    database: Database, org_ids: Sequence[int] | None, *, renews_before: date | None = None
) -> AsyncIterator[Row]:
    """Yields the seats of these orgs (None: all not removed) by name; `renews_before`: those that renew by then."""
    async with database.connection() as connection, connection.transaction(readonly=True):
        arguments = (None if org_ids is None else list(org_ids), renews_before)
        async for row in connection.cursor(_SEATS, *arguments, prefetch=_PREFETCH):
            yield row


async def seats_page(
    database: Queries,
    which: OrgFilter,
    *,
    renews_before: date | None = None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> RowPage:
    """Returns a page of the seats of these orgs by name; `renews_before`: only of those that renew by then."""
    arguments = [*matching(which), renews_before]
    return await read_rows(database, _PAGE, arguments, limit=limit, after=after)


async def seats_by_tag(database: Database, org_ids: Sequence[int] | None) -> list[Row]:
    """Returns sums by tag and currency; an org with two tags counts in both, an org without tags under NULL."""
    return await database.fetch(_BY_TAG, None if org_ids is None else list(org_ids))


# seats.save
_SAVE: Final = """
INSERT INTO seat_readings (org_id, taken_at, purchased, used, edition, renews_on, source)
SELECT id, $2, $3, $4, $5, $6, $7 FROM orgs WHERE id = $1 FOR KEY SHARE
ON CONFLICT (org_id, taken_at) DO NOTHING
"""

# seats.refuse: `since` stays while the reason is the same.
_REFUSE: Final = """
INSERT INTO seat_refusals AS existing (org_id, code, remedy, since)
SELECT id, $2, $3, $4 FROM orgs WHERE id = $1 FOR KEY SHARE
ON CONFLICT (org_id) DO UPDATE SET code = excluded.code, remedy = excluded.remedy,
    since = CASE WHEN existing.code = excluded.code THEN existing.since ELSE excluded.since END
RETURNING since = $4
"""

IS_FULL: Final = "((s.used >= s.purchased) IS TRUE)"
"""Whether all seats of an org are in use, with the joins of `SEATS_OF_ORG`; unknown seats are not full."""
SEATS_OF_ORG: Final = """
LEFT JOIN seat_contracts c ON c.org_id = o.id
LEFT JOIN LATERAL (SELECT * FROM seat_readings WHERE org_id = o.id ORDER BY taken_at DESC LIMIT 1) AS r ON true
CROSS JOIN LATERAL (
    SELECT known.purchased, known.used,
           CASE WHEN known.purchased >= known.used THEN known.purchased - known.used
                WHEN known.purchased < known.used THEN 0 END AS idle
    FROM (SELECT coalesce(c.purchased, r.purchased, o.licences) AS purchased,
                 coalesce(CASE WHEN r.taken_at > now() - interval '2 days' THEN r.used END, l.active_users, r.used)
                     AS used) AS known
) AS s
"""
"""Joins of `orgs o` and `latest_snapshots l`: seats from the contract, else from Zoho's last answer.

Zoho's number of used seats counts for two days; after that the last count of active users is more accurate. `idle` is
unknown where one of the two is, never 0.
"""

# seats.facts
FACTS: Final = f"""
SELECT o.id AS org_id, o.name AS org, o.tags, s.purchased, s.used, s.purchased - s.used AS available,
       s.idle, coalesce(r.edition, o.edition) AS edition,
       coalesce(c.renews_on, r.renews_on) AS renews_on, c.price, c.currency,
       s.idle * c.price AS idle_cost, r.taken_at, f.code, f.remedy
FROM orgs o
LEFT JOIN seat_refusals f ON f.org_id = o.id
LEFT JOIN latest_snapshots l ON l.org_id = o.id
{SEATS_OF_ORG}
WHERE """  # noqa: S608 - it stands above
_OF_THESE: Final = "CASE WHEN $1::int[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY($1) END"

# seats.page
_PAGE: Final = f"""
{FACTS} {MATCHES} AND ($5::date IS NULL
    OR (coalesce(c.renews_on, r.renews_on) >= current_date AND coalesce(c.renews_on, r.renews_on) < $5))
"""

# seats.list
_SEATS: Final = f"""
SELECT * FROM ({FACTS} {_OF_THESE}) AS seats
WHERE $2::date IS NULL OR (renews_on >= current_date AND renews_on < $2) ORDER BY org, org_id
"""  # noqa: S608 - it stands above

# seats.by_tag
_BY_TAG: Final = f"""
SELECT tag, currency, count(*) AS orgs, sum(purchased) AS purchased, sum(used) AS used, sum(idle) AS idle,
       sum(idle_cost) AS idle_cost, min(renews_on) FILTER (WHERE renews_on >= current_date) AS next_renewal
FROM ({FACTS} {_OF_THESE}) AS seats LEFT JOIN LATERAL unnest(tags) AS tag ON true
GROUP BY tag, currency ORDER BY tag NULLS LAST, currency NULLS LAST
"""  # noqa: S608 - it stands above
