"""Reads the parameters of a question: durations, days, time zones, user types. A wrong one is a `UsageError`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from poller.core.durations import EXAMPLES, parse_seconds
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType

if TYPE_CHECKING:
    from datetime import tzinfo

_LATEST_NOW: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Later than the right time of any clock that this program will meet."""


def seconds_of(text: str) -> int:
    """Seconds of a duration such as `15m`, `1d`, `12w` or `1y`."""
    try:
        return parse_seconds(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a duration", EXAMPLES) from None


def since_of(text: str, now: datetime, zone: tzinfo) -> datetime:
    """The time (UTC) a duration ago, or the start of a day in `zone`."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            begin = datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(f"{text!r} is not a date", "write it as 2026-01-31") from None
        if begin >= now:
            raise UsageError(f"{text} is not in the past", "name an earlier day")
        return begin
    try:
        return now - timedelta(seconds=seconds_of(text))
    except OverflowError:
        raise UsageError(f"{text!r} is before all calendars", "ask for less") from None


def moment_of(text: str, now: datetime, zone: tzinfo) -> datetime:
    """The time (UTC) of `now`, of a duration ago, of the start of a day in `zone`, or of an ISO 8601 time."""
    if text.lower() == "now":
        return now
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", text, re.IGNORECASE):
        return since_of(text, now, zone)
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a time", "write it as 2026-01-31T14:30:00Z") from None


def later_time_of(text: str, now: datetime, zone: tzinfo) -> datetime:
    """The time (UTC) in a duration from now, of the start of a day in `zone`, or of an ISO 8601 time; it is to come."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = now + timedelta(seconds=seconds_of(text))
        except OverflowError:
            raise UsageError(f"{text[:40]!r} is after all calendars", "give less") from None
        except UsageError:
            what = f"{text[:40]!r} is not a time to come"
            raise UsageError(what, "write 30d, 2026-12-31 or 2026-12-31T14:30:00Z") from None
    try:
        at = (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{text[:40]!r} is after all calendars", "give less") from None
    if at <= now:
        raise UsageError(f"{text[:40]} is not in the future", "give a later time")
    return at


@dataclass(frozen=True, slots=True)
class Since:
    """Where a question about the past begins, as it was written: `90d`, or `2026-01-31`.

    `at` needs PostgreSQL's time. A text that is wrong at any time is a `UsageError` at once.
    """

    text: str
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        since_of(self.text, _LATEST_NOW, self.zone)

    def at(self, now: datetime) -> datetime:
        """The time (UTC); a `UsageError` where it is not in the past."""
        return since_of(self.text, now, self.zone)


def zone_of(name: str) -> tzinfo:
    """The time zone of that name."""
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name!r}", "name one such as Europe/Berlin, or UTC") from None


def type_of(name: str) -> UserType:
    """The user type of that name, in any case."""
    for user_type in USER_TYPES:
        if user_type.value.lower() == name.lower():
            return user_type
    raise UsageError(f"{name!r} is not a user type", f"use one of {', '.join(USER_TYPES)}")
