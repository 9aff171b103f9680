"""How many hours of a stretch of time a count is known, and for which reasons it is unknown the rest of the time.

Polls are counted by day, so the interval of the polls may change, and the numbers stay right after the polls
themselves are deleted. A day counts with the share of its polls whose count is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

NOT_POLLED: Final = "not polled"
PAUSED: Final = "paused"
NOT_KEPT: Final = "reason not kept"
_HOUR: Final = timedelta(hours=1)


class DayPolls(NamedTuple):
    """The polls of one day: with a known count, and without one."""

    known: int
    unknown: int


@dataclass(frozen=True, slots=True)
class UnknownHours:
    """Hours without a known count for one reason, and the first and last day that has some."""

    reason: str
    hours: float
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Coverage:
    """Hours in all, and the unknown ones by reason, most hours first. Without any hour nothing was expected."""

    hours: float
    unknown: tuple[UnknownHours, ...] = ()

    @property
    def unknown_hours(self) -> float:
        """The hours without a known count."""
        return min(sum(one.hours for one in self.unknown), self.hours)

    @property
    def known_hours(self) -> float:
        """The hours with a known count."""
        return self.hours - self.unknown_hours


def coverage_of(
    polls: Mapping[date, DayPolls],
    reasons: Mapping[date, Mapping[str, int]],
    begin: datetime,
    end: datetime,
    *,
    paused_since: datetime | None = None,
) -> Coverage:
    """The coverage of `[begin, end)`. `reasons`: unknown polls by reason; polls that were not made are only in there.

    The day of `end` does not count before its first poll.
    """
    hours = 0.0
    found: dict[str, UnknownHours] = {}
    for day, length in _days(begin, end):
        given = reasons.get(day, {})
        known, unknown = polls.get(day, DayPolls(0, 0))
        made = known + unknown + given.get(NOT_POLLED, 0)
        if not made and day == end.date():
            continue
        hours += length
        parts = _parts(given, unknown) if made else {_absent(day, paused_since): 1}
        for reason, number in parts.items():
            spent, before = length * number / max(made, 1), found.get(reason)
            first = day if before is None else before.first
            found[reason] = UnknownHours(reason, spent + (before.hours if before else 0.0), first, day)
    return Coverage(hours, tuple(sorted(found.values(), key=lambda one: (-one.hours, one.reason))))


def _parts(given: Mapping[str, int], unknown: int) -> dict[str, int]:
    """The unknown polls of a day by reason, with those whose reason is not kept any longer."""
    explained = sum(number for reason, number in given.items() if reason != NOT_POLLED)
    rest = unknown - explained
    return {**given, **({NOT_KEPT: rest} if rest > 0 else {})}


def _absent(day: date, paused_since: datetime | None) -> str:
    return PAUSED if paused_since is not None and paused_since.date() <= day else NOT_POLLED


def _days(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """Each day (UTC) and how many of its hours lie in `[begin, end)`."""
    at = begin
    while at < end:
        midnight = datetime.combine(at.date() + timedelta(days=1), time(), UTC)
        yield at.date(), (min(midnight, end) - at) / _HOUR
        at = midnight
