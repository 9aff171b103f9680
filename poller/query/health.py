"""Health: slots of the last 24 hours, data centres, credits; and the service, for callers who see every org.

A caller with tags gets the figures of the orgs with one of them. Workers, queue, maintenance tasks and the database
belong to the whole installation, so such a caller does not get them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.admission import NOT_RUNNING
from poller.core.errors import UsageError
from poller.core.model import Outcome
from poller.core.slots import slot_of
from poller.query.cache import key_of_tags
from poller.query.service_facts import ServiceFacts, read_service
from poller.query.slot_hours import HOUR, first_hour, read_slot_hours
from poller.store.orgs.credits import counted_after
from poller.store.series.slot_sums import OrgGap, UnrecordedSlots, gaps_of_orgs, unrecorded_slots
from poller.store.service_health import (
    DataCenterOrgs,
    OrgCredits,
    StretchedInterval,
    longest_stretched,
    orgs_near_share,
    orgs_of_data_centers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.callers import Caller
    from poller.query.cache import AnswerCache
    from poller.query.reader import Reader
    from poller.query.slot_hours import SlotHour
    from poller.store.database import Database

LISTED: Final = 5
"""Orgs named under one heading; the rest are counted."""
GAPS_LISTED: Final = 200
_WAITING_SECONDS: Final = 10.0
"""How long sums over the newest slots of all orgs are kept at most."""
_CREDITS_SECONDS: Final = 60.0
"""How long sums of credits are kept: they take longest to read."""


@dataclass(frozen=True, slots=True)
class UnknownSlots:
    """Slots without known counts for one reason in one data centre. `reason` None: see each type's own."""

    outcome: str
    reason: str | None
    data_center: str
    slots: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """How many seconds after they were due polls began, in whole seconds rounded down. None: there was no poll."""

    polls: int
    p50: int | None
    p99: int | None
    longest: int | None


@dataclass(frozen=True, slots=True)
class Credits:
    """Orgs near their share of credits and orgs with a longer interval than configured: numbers and the first names."""

    near: int
    nearest: Sequence[OrgCredits]
    stretched: int
    longest: Sequence[StretchedInterval]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The report at one time. `service` None: the caller sees only some orgs."""

    at: datetime
    hours: Sequence[SlotHour]
    unrecorded: UnrecordedSlots
    data_centers: Sequence[DataCenterOrgs]
    credits: Credits
    service: ServiceFacts | None

    @property
    def since(self) -> datetime:
        """The start of the first hour."""
        return self.hours[0].at

    @property
    def read_at(self) -> datetime:
        """When the oldest of the hours was read."""
        return min(hour.read_at for hour in self.hours)

    @property
    def recorded(self) -> int:
        """Slots with a row."""
        return sum(hour.slots for hour in self.hours)

    @property
    def due(self) -> int:
        """Slots that were due, with or without a row."""
        return self.recorded + self.unrecorded.slots

    @property
    def known(self) -> int:
        """Slots whose ten counts are known."""
        return sum(hour.known for hour in self.hours)

    def unknown(self) -> list[UnknownSlots]:
        """Slots with a row and without known counts, by outcome, reason and data centre; the most first."""
        sums: Counter[tuple[str, str | None, str]] = Counter()
        for one in (one for hour in self.hours for one in hour.sums.outcomes if one.outcome != Outcome.OK):
            sums[one.outcome, one.error, one.data_center] += one.slots
        rows = [UnknownSlots(*key, slots) for key, slots in sums.items()]
        return sorted(rows, key=lambda row: (-row.slots, row.outcome, row.reason or "", row.data_center))

    def missed(self) -> dict[str, int]:
        """Missed slots by reason, the most first."""
        sums: Counter[str] = Counter()
        for one in self.unknown():
            if one.outcome == Outcome.MISSED:
                sums[one.reason or NOT_RUNNING] += one.slots
        return dict(sums.most_common())

    def lateness(self) -> Lateness:
        """Percentiles of how late the polls of these hours began."""
        return percentiles(sum((Counter(hour.sums.late_seconds) for hour in self.hours), Counter()))


def percentiles(late_seconds: Mapping[int, int]) -> Lateness:
    """The lateness of polls, given how many began how many seconds late."""
    polls = sum(late_seconds.values())

    def at(share: float) -> int | None:
        passed = 0
        for seconds, slots in sorted(late_seconds.items()):
            passed += slots
            if passed >= share * polls:
                return seconds
        return None

    return Lateness(polls, at(0.5), at(0.99), max(late_seconds, default=None))


async def read_health(reader: Reader, caller: Caller) -> HealthReport:
    """Reads the report as this caller may see it."""
    now, database, tags = reader.now(), reader.seen_by(caller), caller.visible_tags
    hours = await read_slot_hours(reader.cache, database, now, tags)
    centers, unrecorded = await _waiting(reader.cache, database, hours[0].at, now, tags)
    service = None
    if tags is None:
        rows_a_day = sum(hour.slots for hour in hours) * (24 * HOUR / (now - hours[0].at))
        orgs = sum(center.orgs for center in centers)
        service = await read_service(reader.cache, database, now, orgs=orgs, rows_a_day=rows_a_day)
    return HealthReport(now, hours, unrecorded, centers, await _credits(reader.cache, database, now, tags), service)


@dataclass(frozen=True, slots=True)
class GapsOfHours:
    """Gaps of `[since, until)`: how many rows there are, by org, outcome and reason, and the first of them."""

    since: datetime
    until: datetime
    outcome: str | None
    total: int
    rows: Sequence[OrgGap]

    def by_reason(self) -> list[tuple[tuple[str, str | None], list[OrgGap]]]:
        """The rows by outcome and reason, the reasons with the most slots first."""
        found: dict[tuple[str, str | None], list[OrgGap]] = {}
        for row in self.rows:
            found.setdefault((row.outcome, row.error), []).append(row)
        return sorted(found.items(), key=lambda group: -sum(row.slots for row in group[1]))


async def read_gaps(
    reader: Reader, caller: Caller, *, hour: datetime | None, outcome: str | None, listed: int = GAPS_LISTED
) -> GapsOfHours:
    """The gaps of one of the hours of the report, or of all of them; with `outcome`, only those."""
    now = reader.now()
    first = first_hour(now)
    since, until = (first, now) if hour is None else (hour, hour + HOUR)
    if hour is not None and not (first <= hour <= now and hour == slot_of(hour, int(HOUR.total_seconds()))):
        raise UsageError("that hour is not one of the last 24", f"name a full hour since {first:%Y-%m-%dT%H:%MZ}")
    found = await gaps_of_orgs(
        reader.seen_by(caller), since, until, caller.visible_tags, outcome=outcome, listed=listed
    )
    return GapsOfHours(since, until, outcome, *found)


async def _waiting(
    cache: AnswerCache, database: Database, since: datetime, now: datetime, tags: Sequence[str] | None
) -> tuple[list[DataCenterOrgs], UnrecordedSlots]:
    """Orgs that wait for their data centre, and slots since `since` without a row; of the last ten seconds."""

    async def read() -> tuple[list[DataCenterOrgs], UnrecordedSlots]:
        return await orgs_of_data_centers(database, tags), await unrecorded_slots(database, since, now, tags)

    return await cache.get_costly(("waiting", key_of_tags(tags), since), read, _WAITING_SECONDS)


async def _credits(cache: AnswerCache, database: Database, now: datetime, tags: Sequence[str] | None) -> Credits:
    async def read() -> Credits:
        near = await orgs_near_share(database, counted_after(now), tags, LISTED)
        return Credits(*near, *await longest_stretched(database, tags, LISTED))

    return await cache.get(("credits", key_of_tags(tags)), _CREDITS_SECONDS, read)
