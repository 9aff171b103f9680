"""One org in a monthly report: its counts, seats and unknown hours, as values that are computed from stored rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.calendar_month import CalendarMonth
from poller.core.coverage import NOT_POLLED, Coverage, DayPolls, coverage_of
from poller.core.model import Outcome, UserType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from poller.query.anomalies import Anomaly
    from poller.query.capacity import OrgForecast
    from poller.store.capacity.monthly import OrgInReport
    from poller.store.series.monthly import DailyColumns, TypeMonth, UnknownPolls

HISTORY_MONTHS: Final = 12
"""Months shown before the one of the report."""
AFTERWARDS: Final = timedelta(days=62)
"""Days after the month that the history goes on for: a report of a month long past has no forecast in its chart."""
_FRESH: Final = timedelta(days=2)
"""How old Zoho's number of used seats may be; an older one is replaced by the count of active users."""
_NEVER_POLLED: Final = "never polled"


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """The month of a report, as far as it is over at `now`. All days are days of UTC."""

    month: CalendarMonth
    now: datetime

    @property
    def is_over(self) -> bool:
        """Whether the whole month has passed."""
        return self.month.last < self.now.date()

    @property
    def begin(self) -> datetime:
        """The first moment of the month."""
        return _midnight(self.month.first)

    @property
    def end(self) -> datetime:
        """The end of the month, or `now` while it lasts."""
        return min(self.now, _midnight(self.month.later(1).first))

    @property
    def last_day(self) -> date:
        """The last day in the report."""
        return min(self.month.last, self.now.date())

    @property
    def year_ago(self) -> tuple[date, date]:
        """The first and last day of the same stretch of the year before."""
        before = self.month.later(-12)
        return before.first, before.last if self.is_over else before.same_day_in(self.last_day)

    @property
    def history_begin(self) -> date:
        """The first day of the history."""
        return self.month.later(-HISTORY_MONTHS).first

    @property
    def history_last(self) -> date:
        """The last day of the history, which may be after the month."""
        return min(self.now.date(), self.month.last + AFTERWARDS)


@dataclass(frozen=True, slots=True)
class HistoryMonth:
    """One month of the history; None: not known. `change`: since the last count of the month before."""

    month: CalendarMonth
    last: int | None
    change: int | None
    low: int | None
    high: int | None
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class SeatsOfMonth:
    """Seats at the end of the month, or now while it lasts. None: not known; `idle_cost` is a month's.

    `source` of the number bought: `contract`, `zoho` or `licences`; `read_on`: the day Zoho said it.
    `used_on`: the day of the number in use.
    """

    purchased: int | None
    used: int | None
    idle: int | None
    price: Decimal | None
    currency: str | None
    idle_cost: Decimal | None
    renews_on: date | None
    source: str | None
    read_on: date | None
    used_on: date | None


@dataclass(frozen=True, slots=True)
class OrgMonth:
    """What a report says about one org. `types`: by user type; `year_ago`: the last counts a year before.

    `history`: the last known count of active users of each day from `period.history_begin` on. `seat_line`: the days
    on which the number of seats changed, with the new number.
    """

    period: ReportPeriod
    org: OrgInReport
    types: Mapping[str, TypeMonth]
    year_ago: Mapping[str, int]
    history: Sequence[int | None]
    months: Sequence[HistoryMonth]
    coverage: Coverage
    seats: SeatsOfMonth
    seat_line: Sequence[tuple[date, int]]
    anomalies: Sequence[Anomaly]
    forecast: OrgForecast | None

    @property
    def active(self) -> TypeMonth | None:
        """The active users of the month; None: no count is known."""
        found = self.types.get(UserType.ACTIVE)
        return found if found is not None and found.samples else None

    @property
    def change(self) -> int | None:
        """The change of active users from the first to the last known count of the month."""
        return change_of(self.active)


def change_of(counts: TypeMonth | None) -> int | None:
    """The change from the first to the last count; None where fewer than two counts are known."""
    if counts is None or counts.samples < 2 or counts.first is None or counts.last is None:
        return None
    return counts.last - counts.first


def watched(org: OrgInReport, begin: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The part of `[begin, end)` in which the org was polled: after its first poll and before its removal."""
    first = end if org.first_slot is None else max(begin, org.first_slot)
    return first, end if org.removed_at is None else min(end, org.removed_at)


def seats_of(org: OrgInReport, active: TypeMonth | None, end: datetime) -> SeatsOfMonth:
    """The seats at `end`: a contract has precedence over what Zoho says, and that over imported licences."""
    sources = {"contract": org.contract_seats, "zoho": org.read_seats, "licences": org.licences}
    source = next((name for name, seats in sources.items() if seats is not None), None)
    purchased = None if source is None else sources[source]
    used, used_on = (None, None) if active is None else (active.last, active.last_day)
    if org.read_used is not None and org.read_at is not None and org.read_at > end - _FRESH:
        used, used_on = org.read_used, org.read_at.date()
    idle = None if purchased is None or used is None else max(purchased - used, 0)
    cost = None if idle is None or org.price is None else idle * org.price
    read_on = org.read_at.date() if source == "zoho" and org.read_at is not None else None
    return SeatsOfMonth(purchased, used, idle, org.price, org.currency, cost, org.renews_on, source, read_on, used_on)


def history_of(columns: DailyColumns | None, period: ReportPeriod) -> list[int | None]:
    """The last count of each day of the history; None where the day is not known."""
    first = period.history_begin.toordinal()
    history: list[int | None] = [None] * (period.history_last.toordinal() - first + 1)
    if columns is not None:
        for day, last in zip(columns.days, columns.last, strict=True):
            history[day - first] = last
    return history


def polls_of(columns: DailyColumns | None) -> dict[date, DayPolls]:
    """The polls of each day with and without a known count."""
    if columns is None:
        return {}
    days = zip(columns.days, columns.samples, columns.missing, strict=True)
    return {date.fromordinal(day): DayPolls(samples, missing) for day, samples, missing in days}


def months_of(org: OrgInReport, columns: DailyColumns | None, period: ReportPeriod) -> list[HistoryMonth]:
    """The twelve months before the report's and its own."""
    polls = polls_of(columns)
    counts: dict[CalendarMonth, list[tuple[int, int, int]]] = {}
    if columns is not None:
        for day, last, low, high in zip(columns.days, columns.last, columns.low, columns.high, strict=True):
            if last is not None and low is not None and high is not None:
                counts.setdefault(CalendarMonth.of(date.fromordinal(day)), []).append((last, low, high))
    found: list[HistoryMonth] = []
    before: int | None = None
    for back in range(HISTORY_MONTHS, -1, -1):
        month = period.month.later(-back)
        begin, end = watched(org, _midnight(month.first), min(_midnight(month.later(1).first), period.end))
        coverage = coverage_of(polls, {}, begin, end, paused_since=org.paused_at)
        if known := counts.get(month):
            last = known[-1][0]
            change = None if before is None else last - before
            low, high = min(one[1] for one in known), max(one[2] for one in known)
            found.append(HistoryMonth(month, last, change, low, high, coverage))
            before = last
        else:
            found.append(HistoryMonth(month, None, None, None, None, coverage))
            before = None
    return found


def unknown_reasons(rows: Iterable[UnknownPolls]) -> dict[date, dict[str, int]]:
    """The polls of each day whose count of active users is unknown, by reason."""
    found: dict[date, dict[str, int]] = {}
    for row in rows:
        reason = _reason(row.reason)
        if reason is not None:
            of_day = found.setdefault(row.day, {})
            of_day[reason] = of_day.get(reason, 0) + row.polls
    return found


def _reason(stored: str) -> str | None:
    """The outcome and the code; None where only counts of other user types are unknown."""
    if stored == _NEVER_POLLED:
        return NOT_POLLED
    outcome, _, codes = stored.partition(": ")
    if outcome != Outcome.PARTIAL:
        return stored
    code_of = {user_type: code for user_type, _, code in (part.partition(" ") for part in codes.split(", "))}
    return f"{outcome}: {code_of[UserType.ACTIVE]}" if UserType.ACTIVE in code_of else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
