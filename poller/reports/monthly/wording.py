"""The words of a monthly report: user types, reasons, days and amounts for a reader who does not know the poller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.coverage import NOT_KEPT, NOT_POLLED, PAUSED
from poller.core.model import Outcome, UserType
from poller.core.quantities import MINUS, MONTHS, UNKNOWN, count
from poller.core.user_types import TYPE_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from poller.core.calendar_month import CalendarMonth
    from poller.query.monthly_org import ReportPeriod

TYPES: Final[Mapping[str, str]] = {
    **{one: words for one, words in TYPE_WORDS.items() if one is not UserType.CURRENT},
    UserType.ADMIN: "Administrators",
    UserType.ACTIVE_CONFIRMED_ADMIN: "Active, confirmed admins",
}
"""Without the user who asks: that is one user, or an unusual change."""
_REASONS: Final[Mapping[str, str]] = {
    NOT_POLLED: "not asked: the service was not running, or the customer was paused",
    PAUSED: "not asked: the customer is paused",
    NOT_KEPT: "the reason is not kept any longer",
    Outcome.PARTIAL: "Zoho did not give this count",
    Outcome.THROTTLED: "Zoho's limit of requests was reached",
    Outcome.UNAUTHORIZED: "the access to Zoho was revoked or had expired",
    Outcome.FORBIDDEN: "the access to Zoho does not include these counts",
    Outcome.REJECTED: "Zoho refused the request",
    Outcome.UNAVAILABLE: "Zoho did not answer",
    Outcome.MALFORMED: "Zoho's answer had no count",
    Outcome.MISSED: "not asked in time",
}
_SOURCES: Final[Mapping[str, str]] = {"contract": "by contract", "zoho": "as Zoho says", "licences": "as set up"}
_EDGE: Final = 0.05
_NBSP: Final = "\N{NO-BREAK SPACE}"


def reason_words(reason: str) -> tuple[str, str]:
    """Why counts are unknown, and the code of the error; an empty code where there is none."""
    outcome, _, code = reason.partition(": ")
    return _REASONS.get(outcome, outcome), code


def user_type_words(user_type: str) -> str:
    """A user type in plain words."""
    return TYPES.get(user_type, "User of the access" if user_type == UserType.CURRENT else user_type)


def source_words(source: str | None) -> str:
    """Where the number of seats comes from."""
    return "" if source is None else _SOURCES[source]


def short_month(month: CalendarMonth) -> str:
    """A month in few letters: Oct 2026."""
    return f"{MONTHS[month.number - 1][:3]}{_NBSP}{month.year}"


def full_day(day: date) -> str:
    """A day with its year: 31 October 2026."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def day_in(day: date, year: int) -> str:
    """A day, with its year where it is another one: 31 October."""
    return f"{day.day} {MONTHS[day.month - 1]}" + ("" if day.year == year else f" {day.year}")


def moment_words(at: datetime) -> str:
    """A time in UTC: 27 November 2026, 14:32 UTC."""
    return f"{full_day(at.date())}, {at:%H:%M} UTC"


def period_words(period: ReportPeriod) -> str:
    """The month, with the last day where it is not over: October 2026, until 27 November."""
    if period.is_over:
        return period.month.words
    return f"{period.month.words}, until {day_in(period.last_day, period.month.year)}"


def money(amount: Decimal | None, currency: str | None) -> str:
    """An amount with its currency: 1,240.00 EUR."""
    return UNKNOWN if amount is None else f"{amount:,.2f} {currency or ''}".rstrip()


def hours_words(hours: float) -> str:
    """A number of hours: 3 hours, under an hour, 1,200 hours."""
    if 0 < hours < 1 - _EDGE:
        return "under an hour"
    return count(round(hours), "hour")


def known_share(known: float, hours: float) -> str:
    """The share of hours that is known: 99.4 %; 100 % only where nothing is missing."""
    if hours <= 0:
        return UNKNOWN
    share = 100 * known / hours
    if known < hours:
        share = min(share, 99.9)
    return f"{share:.1f}{_NBSP}%" if share < 100 else f"100{_NBSP}%"


def share_change(change: int, before: int) -> str:
    """A change in percent of what was before: +3.4 %."""
    if not before:
        return ""
    return f"{100 * change / before:+.1f}{_NBSP}%".replace("-", MINUS)
