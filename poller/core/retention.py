"""How long snapshots or daily counts are kept: days, weeks, calendar months, years, or forever.

A retention is a promise: nothing is deleted a day earlier.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from poller.core.durations import parse_duration

FOREVER: Final = "forever"
_UNITS: Final = {"d": "days", "mo": "months", "y": "years"}
_DAYS_IN_MONTH: Final = 30
_MOST: Final = 99_999


@dataclass(frozen=True, slots=True)
class Retention:
    """A number of `days`, `months` or `years`; the other two are 0."""

    days: int = 0
    months: int = 0
    years: int = 0

    def cutoff(self, now: datetime) -> datetime:
        """The time (UTC) up to which data may be deleted.

        Where the month of the cutoff has no such day, its last day counts, so that nothing is deleted early.
        """
        at = now.astimezone(UTC)
        months = at.year * 12 + at.month - 1 - self.months - 12 * self.years
        year, month = months // 12, months % 12 + 1
        try:
            day = min(at.day, calendar.monthrange(year, month)[1])
            return at.replace(year=year, month=month, day=day) - timedelta(days=self.days)
        except (ValueError, OverflowError, calendar.IllegalMonthError):
            return datetime.min.replace(tzinfo=UTC)

    @property
    def roughly_days(self) -> int:
        """An approximation, only to compare two retentions."""
        return self.days + _DAYS_IN_MONTH * (self.months + 12 * self.years)

    def __str__(self) -> str:
        return next(f"{getattr(self, name)}{unit}" for unit, name in _UNITS.items() if getattr(self, name))


def parse_retention(text: str) -> Retention | None:
    """The retention of `13mo`, `400d`, `60w`, `2y` or `forever` (None); a `ValueError` says what is wrong."""
    if text.strip().lower() == FOREVER:
        return None
    wrong = ValueError(f"{text!r} does not say how long: use 13mo, 400d, 2y or {FOREVER}")
    try:
        number, unit = parse_duration(text)
    except ValueError:
        raise wrong from None
    if unit == "w":
        number, unit = 7 * number, "d"
    if unit not in _UNITS or number > _MOST:
        raise wrong
    return Retention(**{_UNITS[unit]: number})


def format_retention(retention: Retention | None) -> str:
    """As `parse_retention` reads it."""
    return FOREVER if retention is None else str(retention)
