"""The rows of a monthly report for a spreadsheet: one for each org and user type.

Figures about seats, forecast and unknown hours are of the org, so only its row of active users has them: their sums
are right. Unknown is an empty field.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import USER_TYPES, UserType
from poller.core.spreadsheet import cell
from poller.query.monthly_org import change_of

if TYPE_CHECKING:
    from poller.query.monthly_org import OrgMonth

_COUNTS: Final = (
    *("month", "until", "org_id", "org", "tags", "data_center", "edition", "removed_on", "user_type"),
    *("first_day", "first", "last_day", "last", "min", "max", "change", "year_ago", "change_in_a_year"),
)
_OF_ORG: Final = (
    *("hours", "known_hours", "unknown_hours", "purchased", "used", "idle", "price", "currency", "idle_cost"),
    *("renews_on", "forecast_made_on", "per_day", "exhausted_on", "exhausted_low", "exhausted_high"),
    *("backtest_error", "backtest_windows", "anomalies"),
)
COLUMNS: Final = (*_COUNTS, *_OF_ORG)


def csv_header() -> str:
    """The names of the columns."""
    return _lines([COLUMNS])


def csv_text(found: OrgMonth) -> str:
    """The rows of one org."""
    return _lines([_row(found, user_type) for user_type in USER_TYPES])


def _lines(rows: list[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def _row(found: OrgMonth, user_type: UserType) -> tuple[Any, ...]:
    org, period, counts = found.org, found.period, found.types.get(user_type)
    year_ago = found.year_ago.get(user_type)
    removed = None if org.removed_at is None else org.removed_at.date()
    about = (str(period.month), period.last_day, org.org_id, org.org, ",".join(org.tags), org.data_center, org.edition)
    if counts is None or not counts.samples:
        figures: tuple[Any, ...] = (None,) * 7
        in_a_year = None
    else:
        figures = (counts.first_day, counts.first, counts.last_day, counts.last, counts.low, counts.high)
        figures += (change_of(counts),)
        in_a_year = None if year_ago is None or counts.last is None else counts.last - year_ago
    of_org = _of_org(found) if user_type is UserType.ACTIVE else (None,) * len(_OF_ORG)
    return (*about, removed, user_type.value, *figures, year_ago, in_a_year, *of_org)


def _of_org(found: OrgMonth) -> tuple[Any, ...]:
    seats, covered = found.seats, found.coverage
    hours = tuple(round(hours, 2) for hours in (covered.hours, covered.known_hours, covered.unknown_hours))
    bought = (seats.purchased, seats.used, seats.idle, seats.price, seats.currency, seats.idle_cost, seats.renews_on)
    if found.forecast is None:
        return (*hours, *bought, *(None,) * 7, len(found.anomalies))
    record = found.forecast.record
    outlook: tuple[Any, ...] = (found.period.now.date(), round(record.per_day, 4), record.exhausted_on)
    outlook += (record.exhausted_low, record.exhausted_high, record.backtest_error, record.backtest_windows)
    return (*hours, *bought, *outlook, len(found.anomalies))
