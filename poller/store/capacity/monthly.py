"""Reads what a monthly report says about orgs, seats and anomalies: a statement each for many orgs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from poller.store.queries import Queries, Row


class OrgInReport(NamedTuple):
    """An org and its seats at one moment. None: not known.

    Contract, licences and edition have no history: they are those of today. `read_*`: the last reading before the
    moment. `code` and `remedy`: why Zoho does not say how many seats there are.
    """

    org_id: int
    org: str
    data_center: str
    edition: str | None
    tags: list[str]
    created_at: datetime
    paused_at: datetime | None
    removed_at: datetime | None
    first_slot: datetime | None
    licences: int | None
    contract_seats: int | None
    price: Decimal | None
    currency: str | None
    renews_on: date | None
    read_seats: int | None
    read_used: int | None
    read_at: datetime | None
    code: str | None
    remedy: str | None


class SeatChanges(NamedTuple):
    """The days on which a reading showed another number of seats, the oldest first, and that number."""

    org_id: int
    days: list[date]
    seats: list[int]


async def orgs_in_report(
    queries: Queries, org_ids: Sequence[int], at: datetime, removed_since: datetime | None
) -> list[OrgInReport]:
    """Returns these orgs by name, with their seats at that moment; not those that were removed before `removed_since`.

    Names that contain numbers are in the order of the numbers.
    """
    return [OrgInReport(*row) for row in await queries.fetch(_ORGS, list(org_ids), at, removed_since)]


async def seat_changes_of(queries: Queries, org_ids: Sequence[int], until: datetime) -> list[SeatChanges]:
    """Returns the changes of seats before `until` of the orgs that have readings."""
    return [SeatChanges(*row) for row in await queries.fetch(_CHANGES, list(org_ids), until)]


async def anomalies_between(queries: Queries, org_ids: Sequence[int], begin: date, end: date) -> list[Row]:
    """Returns the anomalies of these orgs on the days in `[begin, end)`, the oldest first."""
    return await queries.fetch(_ANOMALIES, list(org_ids), begin, end)


# monthly_capacity.orgs
_ORGS: Final = """
SELECT o.id, o.name, o.data_center, coalesce(r.edition, o.edition), o.tags, o.created_at, o.paused_at, o.removed_at,
       p.first_slot, o.licences, c.purchased, c.price, c.currency, coalesce(c.renews_on, r.renews_on),
       r.purchased, r.used, r.taken_at, f.code, f.remedy
FROM orgs o
LEFT JOIN latest_polls p ON p.org_id = o.id
LEFT JOIN seat_contracts c ON c.org_id = o.id
LEFT JOIN seat_refusals f ON f.org_id = o.id
LEFT JOIN LATERAL (
    SELECT * FROM seat_readings WHERE org_id = o.id AND taken_at < $2 ORDER BY taken_at DESC LIMIT 1
) AS r ON true
WHERE o.id = ANY($1::int[]) AND (o.removed_at IS NULL OR $3::timestamptz IS NULL OR o.removed_at >= $3)
ORDER BY o.name_key, o.id
"""

# monthly_capacity.seat_changes
_CHANGES: Final = """
SELECT org_id, array_agg(day ORDER BY day), array_agg(purchased ORDER BY day) FROM (
    SELECT org_id, (taken_at AT TIME ZONE 'UTC')::date AS day, purchased,
           lag(purchased) OVER (PARTITION BY org_id ORDER BY taken_at) AS before
    FROM seat_readings WHERE org_id = ANY($1::int[]) AND purchased IS NOT NULL AND taken_at < $2
) AS readings
WHERE purchased IS DISTINCT FROM before
GROUP BY org_id
"""

# monthly_capacity.anomalies
_ANOMALIES: Final = """
SELECT org_id, user_type, day, kind, before, after, expected_low, expected_high, severity, why FROM anomalies
WHERE org_id = ANY($1::int[]) AND day >= $2 AND day < $3 ORDER BY org_id, day, kind, user_type
"""
