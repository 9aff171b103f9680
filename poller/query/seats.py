"""Seats of orgs: bought, used and idle, what they cost, when the contract renews; by org or by tag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.store.capacity.seats import seats_by_tag, stream_seats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from decimal import Decimal

    from poller.query.selection import Selection
    from poller.store.database import Database

SEAT_COLUMNS: Final = (
    "org",
    "purchased",
    "used",
    "available",
    "idle",
    "edition",
    "renews_on",
    "price",
    "currency",
    "idle_cost",
    "taken_at",
)


@dataclass(frozen=True, slots=True)
class SeatUsage:
    """The seats of one org; None: not known. `code` and `remedy`: why Zoho does not say, where it does not."""

    org: str
    purchased: int | None
    used: int | None
    available: int | None
    idle: int | None
    edition: str | None
    renews_on: date | None
    price: Decimal | None
    currency: str | None
    idle_cost: Decimal | None
    taken_at: datetime | None
    code: str | None
    remedy: str | None

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        problem = problem_of(self.code, self.remedy)
        return {name: getattr(self, name) for name in SEAT_COLUMNS} | {"problem": problem}


def problem_of(code: str | None, remedy: str | None) -> dict[str, str | None] | None:
    """Why Zoho does not say how many seats there are, as JSON; None where it does."""
    return None if code is None else {"code": code, "remedy": remedy}


async def stream_seat_usage(
    database: Database, orgs: Selection, *, renews_within: timedelta | None = None
) -> AsyncIterator[SeatUsage]:
    """The seats of these orgs by name; with `renews_within`, only orgs whose contract renews so soon."""
    ids = await orgs.ids(database)
    before = None if renews_within is None else _last_day(database.clock.now(), renews_within)
    async for row in stream_seats(database, ids, renews_before=before):
        yield SeatUsage(*(row[name] for name in (*SEAT_COLUMNS, "code", "remedy")))


async def seat_sums_by_tag(database: Database, orgs: Selection) -> list[Mapping[str, Any]]:
    """Sums by tag and currency. An org with two tags counts in both, an org without tags under None."""
    return [dict(row) for row in await seats_by_tag(database, await orgs.ids(database))]


def _last_day(now: datetime, within: timedelta) -> date:
    """The day `within` from now; the last day of the calendar where that is later."""
    try:
        return (now + within).date()
    except OverflowError:
        return date.max
