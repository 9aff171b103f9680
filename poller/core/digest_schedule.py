"""When a digest is sent: every day, or one day a week, at an hour in a time zone, such as `monday 08:00 Europe/Berlin`.

A digest is about the period that ends when the digest is due. A local time that a change of the clock skips is read by
the clock before the change: 02:30 becomes 03:30. Of a local time that occurs twice, the first counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple, Self
from zoneinfo import ZoneInfo

DAILY: Final = "daily"
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class DigestPeriod(NamedTuple):
    """What one digest is about. `until` is when it is due."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class DigestSchedule:
    """`weekday`: 0 is Monday; None: every day. `at`: local time in `zone`."""

    weekday: int | None
    at: time
    zone: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The schedule written as `daily 08:00 Europe/Berlin`; a `ValueError` for anything else."""
        words = text.split()
        if len(words) != 3:
            raise ValueError(f"{text[:60]!r} is not a day, a time and a time zone")
        day, at, zone = words[0].lower(), _TIME.fullmatch(words[1]), words[2]
        if day not in {DAILY, *WEEKDAYS}:
            raise ValueError(f"{words[0][:40]!r} is neither daily nor a day of the week")
        if at is None:
            raise ValueError(f"{words[1][:40]!r} is not a time from 00:00 to 23:59")
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError):
            raise ValueError(f"{zone[:40]!r} is not a time zone such as Europe/Berlin") from None
        return cls(None if day == DAILY else WEEKDAYS.index(day), time(int(at[1]), int(at[2])), zone)

    @property
    def days(self) -> int:
        """The days of a period."""
        return 1 if self.weekday is None else 7

    def latest(self, now: datetime) -> DigestPeriod:
        """The period of the last digest that was due at `now`."""
        day = now.astimezone(ZoneInfo(self.zone)).date() + timedelta(days=1)
        if self.weekday is not None:
            day -= timedelta(days=(day.weekday() - self.weekday) % 7)
        while self._moment(day) > now:
            day -= timedelta(days=self.days)
        return DigestPeriod(self._moment(day - timedelta(days=self.days)), self._moment(day))

    def _moment(self, day: date) -> datetime:
        """The UTC time of the digest of a local day."""
        return datetime.combine(day, self.at, ZoneInfo(self.zone)).astimezone(UTC)

    def __str__(self) -> str:
        """As it is written in the setting."""
        return f"{DAILY if self.weekday is None else WEEKDAYS[self.weekday]} {self.at:%H:%M} {self.zone}"
