"""What a page says about seats: bought, in use, idle, what idle ones cost, and when the contract renews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.quantities import UNKNOWN, count, number, percent
from poller.reports.monthly.facts import Fact
from poller.reports.monthly.wording import day_in, full_day, money, source_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.query.monthly_org import OrgMonth

SOON_DAYS: Final = 60
"""A renewal within this number of days is marked."""


def is_full(found: OrgMonth) -> bool:
    """Whether no seat is free."""
    seats = found.seats
    return seats.purchased is not None and seats.used is not None and seats.used >= seats.purchased


def seats_tile(found: OrgMonth) -> Fact:
    """Seats in use, of those bought."""
    seats = found.seats
    if seats.purchased is None:
        return Fact("Seats in use", UNKNOWN, "the number of seats is not known")
    if seats.used is None:
        return Fact("Seats in use", UNKNOWN, f"of {number(seats.purchased)} bought; the use is not known")
    value = f"{number(seats.used)} of {number(seats.purchased)}"
    if seats.used > seats.purchased:
        return Fact("Seats in use", value, f"{number(seats.used - seats.purchased)} more than bought", "bad")
    if is_full(found):
        return Fact("Seats in use", value, "all of them", "bad")
    since = f" on {day_in(seats.used_on, found.period.month.year)}" if seats.used_on is not None else ""
    return Fact("Seats in use", value, f"{percent(seats.used, seats.purchased)} in use{since}")


def idle_tile(found: OrgMonth) -> Fact:
    """What idle seats cost a month, or how many there are where no price is known."""
    seats = found.seats
    if seats.idle is None:
        return Fact("Idle seats", UNKNOWN, "the seats are not known")
    if seats.idle_cost is None:
        return Fact("Idle seats", number(seats.idle), "the price of a seat is not known" if seats.idle else "none")
    return Fact("Idle seats", number(seats.idle), f"{money(seats.idle_cost, seats.currency)} a month")


def seat_facts(found: OrgMonth) -> Iterator[Fact]:
    """Each figure about seats with its unit and date."""
    seats = found.seats
    at = "" if seats.used_on is None else f"on {full_day(seats.used_on)}"
    where = source_words(seats.source)
    if seats.read_on is not None:
        where = f"{where}, {full_day(seats.read_on)}"
    elif seats.source is not None:
        where = f"{where}, as of {full_day(found.period.now.date())}"
    yield Fact("Bought", _seats(seats.purchased), where or _why_unknown(found))
    yield Fact("In use", _seats(seats.used), at or "no count is known")
    yield Fact("Idle", _seats(seats.idle), at if seats.idle is not None else "the seats are not known")
    price_of = "not stated" if seats.price is None else "a seat and month"
    yield Fact("Price", money(seats.price, seats.currency), price_of)
    yield Fact("Idle cost", idle_cost_words(found), _idle_cost_note(found))
    yield _renewal(found)


def idle_cost_words(found: OrgMonth) -> str:
    """What idle seats cost a month; 0 where no seat is idle, even if the price is not known."""
    seats = found.seats
    return "0" if seats.idle == 0 and seats.idle_cost is None else money(seats.idle_cost, seats.currency)


def _idle_cost_note(found: OrgMonth) -> str:
    if found.seats.idle is None:
        return "the seats are not known"
    return "a month" if found.seats.idle_cost is not None or not found.seats.idle else "the price is not stated"


def _renewal(found: OrgMonth) -> Fact:
    day, today = found.seats.renews_on, found.period.now.date()
    if day is None:
        return Fact("Renewal", UNKNOWN, "not stated")
    days = (day - today).days
    if days < 0:
        return Fact("Renewal", full_day(day), "has passed")
    until = f"in {count(days, 'day')}" if days else "today"
    return Fact("Renewal", full_day(day), until, "soon" if days <= SOON_DAYS else "")


def _seats(seats: int | None) -> str:
    return UNKNOWN if seats is None else count(seats, "seat")


def _why_unknown(found: OrgMonth) -> str:
    return "Zoho does not say" if found.org.code is not None else "not read yet"
