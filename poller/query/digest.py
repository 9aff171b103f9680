"""What a digest is about: changes of a period, what needs a person, what runs out, and what is unknown, over all orgs.

Every list is cut to its first entries, with the number of all beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.store.capacity.alert_groups import AlertGroup, firing_groups
from poller.store.capacity.seat_rows import SeatRowFilter, read_seat_rows, seat_totals
from poller.store.fleet_totals import FleetTrouble, read_troubles
from poller.store.orgs.arrivals import Arrivals, NamedOrg, read_arrivals
from poller.store.series.gaps import unknown_orgs
from poller.store.series.moves import Moves, UnknownTime, largest_moves, longest_unknown
from poller.store.series.slot_sums import UnrecordedSlots, unrecorded_slots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from poller.core.digest_schedule import DigestPeriod
    from poller.store.database import Database

__all__ = ["LISTED", "AlertGroup", "DigestFacts", "FleetTrouble", "read_digest"]

LISTED: Final = 10
"""Entries of each list."""


@dataclass(frozen=True, slots=True)
class SeatsRunOut:
    """Orgs whose seats run out or renew, the soonest first; rows as the Seats page has them."""

    run_out: Sequence[Mapping[str, Any]]
    run_out_30: int
    run_out_90: int
    renewals: Sequence[Mapping[str, Any]]
    renew_90: int


@dataclass(frozen=True, slots=True)
class DigestFacts:
    """The facts of one digest. `never`: orgs that were never polled, `never_count` in all."""

    since: datetime
    until: datetime
    today: date
    orgs: int
    moves: Moves
    arrivals: Arrivals
    alerts: Sequence[AlertGroup]
    troubles: Sequence[FleetTrouble]
    seats: SeatsRunOut
    unknown: UnknownTime
    never: Sequence[NamedOrg]
    never_count: int
    unrecorded: UnrecordedSlots

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return sum(group.alerts for group in self.alerts)

    @property
    def in_trouble(self) -> int:
        """How many orgs need a person."""
        return sum(trouble.orgs for trouble in self.troubles)


async def read_digest(database: Database, period: DigestPeriod) -> DigestFacts:
    """Reads the facts; what needs a person and what runs out as it is now."""
    since, until = period
    seats, orgs = await _seats(database, until.date())
    never = await unknown_orgs(database, since, org_ids=None, listed=LISTED)
    return DigestFacts(
        since=since,
        until=until,
        today=until.date(),
        orgs=orgs,
        moves=await largest_moves(database, since, until, LISTED),
        arrivals=await read_arrivals(database, since, LISTED),
        alerts=await firing_groups(database),
        troubles=await read_troubles(database, None),
        seats=seats,
        unknown=await longest_unknown(database, since, until, LISTED),
        never=[NamedOrg(org_id, org) for org, org_id in never.never_orgs.items()],
        never_count=never.never,
        unrecorded=await unrecorded_slots(database, since, until, None),
    )


async def _seats(database: Database, today: date) -> tuple[SeatsRunOut, int]:
    """What runs out, and the number of orgs."""
    totals = (await seat_totals(database, SeatRowFilter(today)))[0]
    run_out = await _rows(database, today, "runs_out_90", "runs_out")
    renewals = await _rows(database, today, "renews_90", "renews_on")
    counts = totals["shown_runs_out_30"], totals["shown_runs_out_90"]
    return SeatsRunOut(run_out, *counts, renewals, totals["shown_renews_90"]), totals["orgs"]


async def _rows(database: Database, today: date, show: str, sort: str) -> list[dict[str, Any]]:
    which = SeatRowFilter(today, show=show)
    return [dict(row) for row in await read_seat_rows(database, which, sort=sort, descending=False, limit=LISTED)]
