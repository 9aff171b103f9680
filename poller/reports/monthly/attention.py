"""What needs attention in a month: a short list over all customers, the most urgent first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.quantities import count, number
from poller.reports.monthly.outlook import run_out_tile
from poller.reports.monthly.seats import seats_tile
from poller.reports.monthly.wording import day_in, full_day, known_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.query.monthly_org import OrgMonth

_LEAST_KNOWN: Final = 0.95
"""Below this share of known hours a customer is in the list."""
_RENEWAL_DAYS: Final = 30
_MUCH_IDLE: Final = 0.3
"""Idle seats in this share of those bought are in the list."""


class Attention(NamedTuple):
    """One line of the list. The smallest `rank` and `order` come first."""

    rank: int
    order: float
    anchor: str
    org: str
    words: str


def attention_of(found: OrgMonth) -> Iterator[Attention]:
    """What needs attention at one customer."""
    anchor, org = f"customer-{found.org.org_id}", found.org.org
    if found.org.removed_at is not None:
        return
    if found.active is None:
        yield Attention(0, 0, anchor, org, "no count of the month is known")
        return
    for rank, order, words in (*_seats(found), *_counts(found)):
        yield Attention(rank, order, anchor, org, words)


def _seats(found: OrgMonth) -> Iterator[tuple[int, float, str]]:
    seats, tile, runs_out = found.seats, seats_tile(found), run_out_tile(found)
    if tile.mark == "bad":
        yield 1, -(seats.used or 0), f"{tile.value} seats are in use: {tile.detail}"
    elif runs_out.mark and found.forecast is not None:
        on = found.forecast.record.exhausted_on
        yield 2, 0 if on is None else on.toordinal(), f"seats run out: {runs_out.value}, {runs_out.detail}"
    today = found.period.now.date()
    if seats.renews_on is not None and 0 <= (seats.renews_on - today).days <= _RENEWAL_DAYS:
        idle = f" with {count(seats.idle, 'idle seat')}" if seats.idle else ""
        yield 4, seats.renews_on.toordinal(), f"renews on {full_day(seats.renews_on)}{idle}"
    elif seats.idle and seats.purchased and seats.idle >= _MUCH_IDLE * seats.purchased:
        yield 6, -seats.idle, f"{number(seats.idle)} of {number(seats.purchased)} seats are idle"


def _counts(found: OrgMonth) -> Iterator[tuple[int, float, str]]:
    covered = found.coverage
    if covered.hours and covered.known_hours < _LEAST_KNOWN * covered.hours:
        share = known_share(covered.known_hours, covered.hours)
        yield 5, covered.known_hours / covered.hours, f"the users are known for only {share} of the time"
    critical = [one for one in found.anomalies if one.severity == "critical"]
    if critical:
        first = critical[0]
        more = f", and {len(critical) - 1} more" if len(critical) > 1 else ""
        yield 3, -len(critical), f"{day_in(first.day, found.period.month.year)}: {first.why}{more}"
