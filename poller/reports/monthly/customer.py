"""The page of one customer: what its tiles, tables and sentences say, and its chart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.quantities import UNKNOWN, change, count, number
from poller.query.monthly_org import change_of
from poller.reports.monthly import outlook, seats
from poller.reports.monthly.facts import Fact
from poller.reports.monthly.line_chart import LineChart, line_chart
from poller.reports.monthly.wording import (
    TYPES,
    day_in,
    full_day,
    hours_words,
    known_share,
    period_words,
    reason_words,
    short_month,
    user_type_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from markupsafe import Markup

    from poller.query.monthly_org import OrgMonth

MOST_GAPS: Final = 4
MOST_ANOMALIES: Final = 3
"""Lines of each list: a customer has one printed page."""
MOST_TAGS: Final = 6
_MOST_DAYS: Final = 5
_FAN_WITHIN: Final = timedelta(days=7)
"""How old the last count in the chart may be for the forecast to continue its line."""


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """What the template shows of one customer."""

    anchor: str
    name: str
    about: Sequence[str]
    missing: str
    """Why there is no count in the month; empty where there is one."""
    tiles: Sequence[Fact]
    chart: Markup
    has_fan: bool
    months: Sequence[Sequence[str]]
    types: Sequence[Sequence[str]]
    seats: Sequence[Fact]
    outlook: Sequence[Fact]
    known: str
    gaps: Sequence[Sequence[str]]
    more_gaps: int
    anomalies: Sequence[Sequence[str]]
    more_anomalies: int


def customer_page(found: OrgMonth) -> CustomerPage:
    """The page of one org."""
    fan = _fan_is_shown(found)
    gaps = found.coverage.unknown
    anomalies = list(_anomalies(found))
    return CustomerPage(
        anchor=f"customer-{found.org.org_id}",
        name=found.org.org,
        about=list(_about(found)),
        missing="" if found.active is not None else no_counts_words(found),
        tiles=[_users_tile(found), seats.seats_tile(found), seats.idle_tile(found), outlook.run_out_tile(found)],
        chart=_chart(found, fan=fan),
        has_fan=fan,
        months=list(_months(found)),
        types=list(_types(found)),
        seats=list(seats.seat_facts(found)),
        outlook=list(outlook.outlook_facts(found)),
        known=_known(found),
        gaps=[_gap(found, place) for place in range(min(len(gaps), MOST_GAPS))],
        more_gaps=max(len(gaps) - MOST_GAPS, 0),
        anomalies=anomalies[:MOST_ANOMALIES],
        more_anomalies=max(len(anomalies) - MOST_ANOMALIES, 0),
    )


def no_counts_words(found: OrgMonth) -> str:
    """Why no count of the month is known."""
    words, first = period_words(found.period), found.org.first_slot
    if first is None:
        return f"No count in {words} is known: Zoho was not asked about this customer yet."
    if first >= found.period.end:
        asked = f"Zoho was first asked about this customer on {full_day(first.date())}"
        return f"No count in {words} is known: {asked}."
    return f"No count in {words} is known: Zoho gave none in this time."


def _about(found: OrgMonth) -> Iterator[str]:
    org = found.org
    if org.edition:
        yield f"{org.edition.capitalize()} edition"
    yield f"data centre {org.data_center}"
    if org.tags:
        more = len(org.tags) - MOST_TAGS
        yield ", ".join(org.tags[:MOST_TAGS]) + (f" and {more} more tags" if more > 0 else "")
    if org.removed_at is not None:
        yield f"removed on {full_day(org.removed_at.date())}"
    elif org.paused_at is not None:
        yield f"paused since {full_day(org.paused_at.date())}"


def _users_tile(found: OrgMonth) -> Fact:
    active, year = found.active, found.period.month.year
    if active is None or active.last is None or active.last_day is None:
        return Fact("Active users", UNKNOWN, "no count is known")
    detail = f"on {day_in(active.last_day, year)}"
    moved = found.change
    if moved is not None and active.first_day is not None:
        detail += f", {change(moved)} since {day_in(active.first_day, year)}"
    return Fact("Active users", number(active.last), detail)


def _fan_is_shown(found: OrgMonth) -> bool:
    forecast = found.forecast
    return (
        forecast is not None
        and found.period.history_last - forecast.record.last_day <= _FAN_WITHIN
        and (forecast.record.last_day <= found.period.history_last)
    )


def _chart(found: OrgMonth, *, fan: bool) -> Markup:
    period, org = found.period, found.org
    counts = found.history[: _days_shown(found)]
    chart = LineChart(
        period.history_begin,
        counts,
        period.month,
        period.last_day,
        watched_from=None if org.first_slot is None else org.first_slot.date(),
        seats=_seat_line(found),
        fan=found.forecast.points if fan and found.forecast is not None else (),
    )
    active = found.active
    label = f"Active users of {org.org} from {full_day(period.history_begin)} on."
    if active is not None and active.last is not None and active.last_day is not None:
        label += f" {count(active.last, 'user')} on {full_day(active.last_day)}."
    return line_chart(chart, f"{label} {outlook.forecast_words(found) if fan else ''}".strip())


def _days_shown(found: OrgMonth) -> int:
    """Days of the chart: until the removal, and without today before its first count."""
    last = found.period.history_last
    if found.org.removed_at is not None:
        last = min(last, found.org.removed_at.date())
    days = (last - found.period.history_begin).days + 1
    is_open = last == found.period.now.date() and found.history[days - 1] is None
    return days - 1 if is_open else days


def _seat_line(found: OrgMonth) -> list[tuple[date, int]]:
    """When the number of seats changed; contracts and licences have no history, so their line begins with the month."""
    purchased, begin = found.seats.purchased, found.period.history_begin
    if purchased is None:
        return []
    if found.seats.source != "zoho":
        return [(found.period.month.first, purchased)]
    before = [number_of for day, number_of in found.seat_line if day <= begin]
    later = [(day, number_of) for day, number_of in found.seat_line if day > begin]
    return [(begin, before[-1]), *later] if before else later


def _months(found: OrgMonth) -> Iterator[tuple[str, ...]]:
    for one in found.months:
        known = known_share(one.coverage.known_hours, one.coverage.hours)
        yield (short_month(one.month), number(one.last), change(one.change), number(one.low), number(one.high), known)


def _types(found: OrgMonth) -> Iterator[tuple[str, ...]]:
    for user_type, words in TYPES.items():
        counts = found.types.get(user_type)
        if counts is None or not counts.samples:
            yield (words, *[UNKNOWN] * 5, _year(found, user_type, None))
            continue
        moved = change(change_of(counts))
        yield (
            *(words, number(counts.first), number(counts.last), moved, number(counts.low), number(counts.high)),
            _year(found, user_type, counts.last),
        )


def _year(found: OrgMonth, user_type: str, last: int | None) -> str:
    before = found.year_ago.get(user_type)
    return UNKNOWN if before is None or last is None else change(last - before)


def _known(found: OrgMonth) -> str:
    covered = found.coverage
    if covered.hours <= 0:
        return "Zoho was not asked about this customer in this time."
    share = known_share(covered.known_hours, covered.hours)
    since = found.org.first_slot
    begin = "" if since is None or since <= found.period.begin else f" since the first poll on {full_day(since.date())}"
    if not covered.unknown_hours:
        return f"The active users are known for all {hours_words(covered.hours)}{begin}."
    return (
        f"The active users are known for {share} of {hours_words(covered.hours)}{begin}; "
        f"{hours_words(covered.unknown_hours)} are unknown and shown as gaps, never as 0."
    )


def _gap(found: OrgMonth, place: int) -> tuple[str, ...]:
    gap, year = found.coverage.unknown[place], found.period.month.year
    first, last = day_in(gap.first, year), day_in(gap.last, year)
    words, code = reason_words(gap.reason)
    return hours_words(gap.hours), first if first == last else f"{first} to {last}", words, code


def _anomalies(found: OrgMonth) -> Iterator[tuple[str, ...]]:
    """Critical ones first; days on which the same happened are one line."""
    same: dict[tuple[str, str, str], list[date]] = {}
    for one in found.anomalies:
        same.setdefault((one.severity, one.user_type, one.why), []).append(one.day)
    for (severity, user_type, why), days in sorted(same.items(), key=lambda one: (one[0][0] != "critical", one[1])):
        yield days_words(days, found.period.month.year), user_type_words(user_type), why, severity


def days_words(days: Sequence[date], year: int) -> str:
    """Days in order: 3, 4 and 9 October; more than five are counted."""
    if len(days) > _MOST_DAYS:
        return f"{len(days)} days from {day_in(days[0], year)} on"
    last = day_in(days[-1], year)
    return f"{', '.join(str(day.day) for day in days[:-1])} and {last}" if len(days) > 1 else last
