"""The slots of the last 24 hours, hour by hour: outcomes with reasons, and how late the polls began.

A day of 5,000 orgs is 480,000 rows, so the sums of hours that are over are kept for some minutes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.core.slots import slot_of
from poller.query.cache import key_of_tags
from poller.store.series.slot_sums import HourSums, sum_slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poller.query.cache import AnswerCache
    from poller.store.database import Database

HOUR: Final = timedelta(hours=1)
HOURS: Final = 24
"""The current hour and those before it."""
_AT_ONCE: Final = 6
"""Hours that one statement reads."""
_CHANGING: Final = 3
"""Rows of the newest hours still arrive; late rows of older hours are rare."""
_CHANGING_SECONDS: Final = 20.0
_SETTLED_SECONDS: Final = 300.0
_NOTHING: Final = HourSums([], {})


@dataclass(frozen=True, slots=True)
class SlotHour:
    """One hour from `at` on. `outcomes`: slots by outcome, in the order of `Outcome`; `read_at`: when it was read."""

    at: datetime
    read_at: datetime
    sums: HourSums
    outcomes: Mapping[str, int]

    @classmethod
    def of(cls, at: datetime, read_at: datetime, sums: HourSums) -> SlotHour:
        """The hour with these sums."""
        found: Counter[str] = Counter()
        for one in sums.outcomes:
            found[one.outcome] += one.slots
        return cls(at, read_at, sums, {outcome.value: found[outcome] for outcome in Outcome if found[outcome]})

    @property
    def slots(self) -> int:
        """The number of slots that have a row."""
        return sum(self.outcomes.values())

    @property
    def known(self) -> int:
        """The number of slots whose ten counts are known."""
        return self.outcomes.get(Outcome.OK, 0)


def first_hour(now: datetime) -> datetime:
    """The oldest of the hours at that time."""
    return slot_of(now, int(HOUR.total_seconds())) - HOUR * (HOURS - 1)


async def read_slot_hours(
    cache: AnswerCache, database: Database, now: datetime, visible_tags: Sequence[str] | None
) -> list[SlotHour]:
    """The current hour and the 23 before it, the oldest first. `visible_tags` None: the slots of every org."""
    whose = key_of_tags(visible_tags)
    hours = [first_hour(now) + HOUR * later for later in range(HOURS)]
    current = hours[-1]
    async with cache.reading(("slot hours", whose)):
        found: dict[datetime, SlotHour] = {}
        for hour in hours:
            settled = hour <= current - HOUR * _CHANGING
            kept = cache.find(("slot hour", whose, hour), _SETTLED_SECONDS if settled else _CHANGING_SECONDS)
            if kept is not None:
                found[hour] = kept
        for first, last in _runs([hour for hour in hours if hour not in found]):
            sums = await sum_slots(database, first, last + HOUR, visible_tags)
            for hour in _between(first, last):
                found[hour] = SlotHour.of(hour, now, sums.get(hour, _NOTHING))
                cache.keep(("slot hour", whose, hour), found[hour])
    return [found[hour] for hour in hours]


def _runs(hours: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """The first and last hour of each run without a hole, of at most `_AT_ONCE` hours."""
    run: list[datetime] = []
    for hour in hours:
        if run and (hour - run[-1] != HOUR or len(run) == _AT_ONCE):
            yield run[0], run[-1]
            run = []
        run.append(hour)
    if run:
        yield run[0], run[-1]


def _between(first: datetime, last: datetime) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += HOUR
