"""Computes an org's due and missed slots. Each slot is returned exactly once, in order.

A slot is due its phase after its start, and may be polled for one interval, until the next slot is due; then it counts
as missed. So every slot is open equally long, with any phase, and a missed slot is never polled later.

A `Cursor`, which the caller stores, says which slots of an org were returned. After a change of the interval, the slots
already returned stay, and the next one is the first slot of the new interval that is later in every respect. No due
slot is lost, none is returned twice, and none is polled in addition because of the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from poller.core.slots import phase_of, slot_of

LONGEST_LOOKAHEAD: Final = timedelta(minutes=1)
"""Slots are added to the queue at most this long before they are due."""
ALMOST: Final = timedelta(seconds=5)
"""A slot that is over within this time leaves no time for a poll that a person asks for."""


class Cursor(NamedTuple):
    """The next slot to return, and the newest slot ever returned, with the moment it was due."""

    slot: datetime
    interval_seconds: int
    newest_slot: datetime | None = None
    newest_at: datetime | None = None


class Due(NamedTuple):
    """A slot to be polled once it is due. `asked_at`: a person asked then to poll the slot again; None: nobody did."""

    org_id: int
    slot: datetime
    interval_seconds: int
    asked_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """When the slot is due, or was asked for."""
        return self.asked_at or self._phased

    @property
    def until(self) -> datetime:
        """When the slot is over: the next slot is due."""
        return self._phased + timedelta(seconds=self.interval_seconds)

    @property
    def _phased(self) -> datetime:
        return self.slot + timedelta(seconds=phase_of(self.org_id, self.interval_seconds))


class Missed(NamedTuple):
    """Slots from `first` to `last`, both included, whose time is over."""

    org_id: int
    first: datetime
    last: datetime
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Advance:
    """The due and the missed slots of an org, and its new cursor."""

    due: tuple[Due, ...]
    missed: tuple[Missed, ...]
    cursor: Cursor


def advance(
    org_id: int, interval_seconds: int, cursor: Cursor | None, now: datetime, lookahead: timedelta = timedelta()
) -> Advance:
    """The slots that are due until `now + lookahead` and were not returned before.

    An org without a cursor is new or was paused: it starts with the first slot that is due after `now`.
    """
    if cursor is None:
        cursor = Cursor(_next_slot(org_id, interval_seconds, now), interval_seconds)
    if cursor.interval_seconds == interval_seconds:
        return _walk(org_id, cursor, now, now + lookahead)
    # Slots that were due before the change was noticed belong to the old interval.
    old = _walk(org_id, cursor, now, now)
    newest_slot, newest_at = old.cursor.newest_slot, old.cursor.newest_at
    slot = _next_slot(org_id, interval_seconds, now if newest_at is None else max(now, newest_at))
    if newest_slot is not None:
        # A slot may start at the same moment as a slot of the old interval, which has its row already.
        slot = max(slot, slot_of(newest_slot, interval_seconds) + timedelta(seconds=interval_seconds))
    new = _walk(org_id, Cursor(slot, interval_seconds, newest_slot, newest_at), now, now + lookahead)
    return Advance(old.due + new.due, old.missed, new.cursor)


def brought_back(org_id: int, cursor: Cursor, now: datetime) -> Cursor:
    """The cursor, or an earlier one if it is further ahead than it can be: then a wrong clock has moved it.

    It is set back to the newest slot that is over, so that no slot in between is lost. Jobs and rows of slots stay as
    they are. `now` must be right.
    """
    step = timedelta(seconds=cursor.interval_seconds)
    if cursor.slot <= now + 2 * LONGEST_LOOKAHEAD + step:
        return cursor
    return Cursor(newest_over(org_id, cursor.interval_seconds, now), cursor.interval_seconds)


def asked_slot(org_id: int, interval_seconds: int, now: datetime) -> Due:
    """The slot in which an org is polled that a person asks for now: the open one, unless it is almost over."""
    open_slot = newest_over(org_id, interval_seconds, now + ALMOST) + timedelta(seconds=interval_seconds)
    return Due(org_id, open_slot, interval_seconds, now)


def newest_over(org_id: int, interval_seconds: int, now: datetime) -> datetime:
    """The newest slot that is over: the next slot is due already."""
    phase = timedelta(seconds=phase_of(org_id, interval_seconds))
    return slot_of(now - phase, interval_seconds) - timedelta(seconds=interval_seconds)


def _next_slot(org_id: int, interval_seconds: int, after: datetime) -> datetime:
    """The first slot that is due after `after`."""
    phase = timedelta(seconds=phase_of(org_id, interval_seconds))
    return slot_of(after - phase, interval_seconds) + timedelta(seconds=interval_seconds)


def _walk(org_id: int, cursor: Cursor, now: datetime, until: datetime) -> Advance:
    """Returns the cursor's slot and the later slots that are due by `until`."""
    interval_seconds = cursor.interval_seconds
    step = timedelta(seconds=interval_seconds)
    slot, newest_slot, newest_at = cursor.slot, cursor.newest_slot, cursor.newest_at
    missed: tuple[Missed, ...] = ()
    phase = Due(org_id, slot, interval_seconds).at - slot
    over = newest_over(org_id, interval_seconds, now)
    if slot <= over:
        missed = (Missed(org_id, slot, over, interval_seconds),)
        slot, newest_slot, newest_at = over + step, over, over + phase
    due: list[Due] = []
    while slot + phase <= until:
        due.append(Due(org_id, slot, interval_seconds))
        slot, newest_slot, newest_at = slot + step, slot, slot + phase
    return Advance(tuple(due), missed, Cursor(slot, interval_seconds, newest_slot, newest_at))
