"""How long the series is kept: calendar months, days or years, or for ever.

What is asked for is a promise: nothing is given up a day earlier. It refuses to know what is kept, and where.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

FOREVER: Final = "forever"
_UNITS: Final = {"d": "days", "mo": "months", "y": "years"}
_DAYS_IN_MONTH: Final = 30


@dataclass(frozen=True, slots=True)
class Retention:
    """So many `days`, `months` or `years` (one of them is not 0)."""

    days: int = 0
    months: int = 0
    years: int = 0

    def cutoff(self, now: datetime) -> datetime:
        """What was over by then (UTC) need not be kept any longer.

        A month earlier than one of 31 days may have fewer: it is then its last day, so that nothing is given up early.
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
        """To compare two of them by; nothing is dropped by it."""
        return self.days + _DAYS_IN_MONTH * (self.months + 12 * self.years)

    def __str__(self) -> str:
        return next(f"{getattr(self, name)}{unit}" for unit, name in _UNITS.items() if getattr(self, name))


def parse_retention(text: str) -> Retention | None:
    """What `13mo`, `400d`, `2y` or `forever` (None) says; a `ValueError` says what is wrong in words for a person."""
    wanted = text.strip().lower()
    if wanted == FOREVER:
        return None
    match = re.fullmatch(r"([0-9]{1,5})\s*(d|mo|y)", wanted)
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} does not say how long: use 13mo, 400d, 2y or {FOREVER}")
    return Retention(**{_UNITS[match[2]]: int(match[1])})


def format_retention(retention: Retention | None) -> str:
    """As `parse_retention` reads it."""
    return FOREVER if retention is None else str(retention)
