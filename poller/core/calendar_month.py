"""A calendar month in UTC, such as 2026-10."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Self

from poller.core.quantities import MONTHS

_WRITTEN: Final = re.compile(r"([0-9]{4})-([0-9]{2})")
_EARLIEST: Final = 1_000
"""Years before are a slip of the keyboard, and earlier months of the first years do not exist."""


@dataclass(frozen=True, slots=True, order=True)
class CalendarMonth:
    """A month. `number`: 1 to 12."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The month written as `2026-10`; a `ValueError` for anything else."""
        written = _WRITTEN.fullmatch(text.strip())
        if written is None or not 1 <= int(written[2]) <= len(MONTHS) or int(written[1]) < _EARLIEST:
            raise ValueError(f"{text!r} is not a month")
        return cls(int(written[1]), int(written[2]))

    @classmethod
    def of(cls, day: date) -> Self:
        """The month of a day."""
        return cls(day.year, day.month)

    @property
    def first(self) -> date:
        """The first day."""
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """The last day."""
        return self.later(1).first - timedelta(days=1)

    def later(self, months: int) -> Self:
        """The month so many months later; earlier, where `months` is negative."""
        year, place = divmod(self.year * len(MONTHS) + self.number - 1 + months, len(MONTHS))
        return type(self)(year, place + 1)

    def same_day_in(self, day: date) -> date:
        """The day of this month with the number of `day`, or the last day where this month is shorter."""
        return min(self.last, self.first + timedelta(days=day.day - 1))

    def __str__(self) -> str:
        """As it is written in options and files: 2026-10."""
        return f"{self.year:04}-{self.number:02}"

    @property
    def words(self) -> str:
        """As it is written for people: October 2026."""
        return f"{MONTHS[self.number - 1]} {self.year}"
