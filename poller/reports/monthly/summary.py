"""The first page of a report about several customers: totals, what needs attention, and a line for each customer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.core.quantities import UNKNOWN, change, count, number, percent
from poller.reports.monthly.attention import attention_of
from poller.reports.monthly.columns_chart import columns_chart
from poller.reports.monthly.facts import Fact
from poller.reports.monthly.outlook import run_out_tile
from poller.reports.monthly.seats import idle_cost_words
from poller.reports.monthly.wording import known_share, money, share_change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from markupsafe import Markup

    from poller.core.calendar_month import CalendarMonth
    from poller.query.monthly_org import OrgMonth
    from poller.reports.monthly.attention import Attention

MOST_ATTENTION: Final = 12


@dataclass(frozen=True, slots=True)
class SummaryPage:
    """What the template shows."""

    tiles: Sequence[Fact]
    notes: Sequence[str]
    chart: Markup
    months: Sequence[Sequence[str]]
    attention: Sequence[Attention]
    more_attention: int
    rows: Sequence[SummaryRow]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One customer's line of the table."""

    anchor: str
    org: str
    users: str
    change: str
    seats: str
    idle: str
    idle_cost: str
    runs_out: Fact
    known: str


@dataclass(slots=True)
class MonthTotals:
    """Sums over customers, added one customer at a time. Removed customers are counted and are not in the sums."""

    customers: int = 0
    removed: int = 0
    without_counts: int = 0
    users: int = 0
    change: int = 0
    with_change: int = 0
    with_seats: int = 0
    purchased: int = 0
    used: int = 0
    idle: int = 0
    without_price: int = 0
    hours: float = 0.0
    known_hours: float = 0.0
    idle_costs: dict[str, Decimal] = field(default_factory=dict)
    months: dict[CalendarMonth, list[int]] = field(default_factory=lambda: defaultdict(list))
    attention: list[Attention] = field(default_factory=list)
    rows: list[SummaryRow] = field(default_factory=list)

    def add(self, found: OrgMonth) -> None:
        """Adds one customer."""
        self.customers += 1
        self.rows.append(_row(found))
        self._add_months(found)
        if found.org.removed_at is not None:
            self.removed += 1
            return
        self.attention += attention_of(found)
        self.hours += found.coverage.hours
        self.known_hours += found.coverage.known_hours
        active = found.active
        if active is None or active.last is None:
            self.without_counts += 1
        else:
            self.users += active.last
        if found.change is not None:
            self.change += found.change
            self.with_change += 1
        self._add_seats(found)

    def _add_months(self, found: OrgMonth) -> None:
        """Adds the last count of each month at whose end the customer was not removed."""
        removed = found.org.removed_at
        for one in found.months:
            lasts = self.months[one.month]
            if one.last is not None and (removed is None or one.month.last < removed.date()):
                lasts.append(one.last)

    def _add_seats(self, found: OrgMonth) -> None:
        seats = found.seats
        if seats.purchased is None or seats.used is None or seats.idle is None:
            return
        self.with_seats += 1
        self.purchased += seats.purchased
        self.used += seats.used
        self.idle += seats.idle
        if seats.idle_cost is not None:
            currency = seats.currency or ""
            self.idle_costs[currency] = self.idle_costs.get(currency, 0 * seats.idle_cost) + seats.idle_cost
        elif seats.idle:
            self.without_price += 1


def summary_page(totals: MonthTotals) -> SummaryPage:
    """The page of these totals."""
    months = [(month, sum(lasts) if lasts else None) for month, lasts in totals.months.items()]
    attention = sorted(totals.attention)
    return SummaryPage(
        tiles=_tiles(totals),
        notes=_notes(totals),
        chart=columns_chart(months, "Active users of all customers together at the end of each month."),
        months=[
            (month.words, number(users), f"{len(totals.months[month]):,} of {totals.customers:,}")
            for month, users in months
        ],
        attention=attention[:MOST_ATTENTION],
        more_attention=max(len(attention) - MOST_ATTENTION, 0),
        rows=totals.rows,
    )


def _tiles(totals: MonthTotals) -> list[Fact]:
    current = totals.customers - totals.removed
    known = current - totals.without_counts
    moved = f"{change(totals.change)} in the month ({share_change(totals.change, totals.users - totals.change)})"
    users = Fact("Active users", number(totals.users), moved if totals.with_change else "")
    costs = [money(cost, currency) for currency, cost in sorted(totals.idle_costs.items())]
    return [
        Fact("Customers", number(current), f"{known:,} with known counts"),
        users if known else Fact("Active users", UNKNOWN, "no count is known"),
        Fact("Seats in use", percent(totals.used, totals.purchased), f"{totals.used:,} of {totals.purchased:,}")
        if totals.with_seats
        else Fact("Seats in use", UNKNOWN, "no seats are known"),
        Fact("Idle seats", number(totals.idle), f"{' + '.join(costs)} a month" if costs else "no price is known")
        if totals.with_seats
        else Fact("Idle seats", UNKNOWN, "no seats are known"),
    ]


def _notes(totals: MonthTotals) -> list[str]:
    """What the totals leave out."""
    current, notes = totals.customers - totals.removed, []
    if totals.without_counts:
        notes.append(f"{count(totals.without_counts, 'customer')} without a known count: not in the sum of users")
    if current > totals.with_seats:
        notes.append(f"{count(current - totals.with_seats, 'customer')} whose seats are not known: not in the seats")
    if totals.without_price:
        notes.append(f"{count(totals.without_price, 'customer')} with idle seats and no price: not in the cost")
    if totals.removed:
        notes.append(f"{count(totals.removed, 'customer')} removed: not in the sums")
    if totals.hours:
        notes.append(f"users are known for {known_share(totals.known_hours, totals.hours)} of all hours")
    return notes


def _row(found: OrgMonth) -> SummaryRow:
    active, seats = found.active, found.seats
    used = UNKNOWN if seats.used is None else number(seats.used)
    bought = UNKNOWN if seats.purchased is None else number(seats.purchased)
    return SummaryRow(
        anchor=f"customer-{found.org.org_id}",
        org=found.org.org,
        users=UNKNOWN if active is None else number(active.last),
        change=change(found.change),
        seats=UNKNOWN if seats.purchased is None and seats.used is None else f"{used} / {bought}",
        idle=number(seats.idle),
        idle_cost=idle_cost_words(found),
        runs_out=run_out_tile(found),
        known=known_share(found.coverage.known_hours, found.coverage.hours),
    )
