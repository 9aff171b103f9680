"""Decides the state of an alert from what a rule reads about its subject, one evaluation after the other.

A reading is True (the condition holds), False (it does not) or None (nothing is known). Unknown time counts neither as
holding nor as over: a period between two evaluations counts only if both read the same. So does a long pause between
evaluations, and a step of the clock: neither counts. Decides only; reads no clock and stores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

PENDING: Final = "pending"
FIRING: Final = "firing"
ACKNOWLEDGED: Final = "acknowledged"
SNOOZED: Final = "snoozed"
RESOLVED: Final = "resolved"

LONGEST_PAUSE: Final = timedelta(minutes=5)
"""A longer time between two evaluations is unknown time."""
FLAP_WINDOW: Final = timedelta(hours=1)
"""An alert whose condition holds again so soon is reopened, and is announced no more than once in this time."""
NEVER_FIRED: Final = "never fired"
OVER: Final = "the condition is over"


class Delays(NamedTuple):
    """How many seconds the condition must hold before the alert fires, and be over before the alert is."""

    for_seconds: float
    clear_seconds: float


class Evaluation(NamedTuple):
    """The time of this evaluation and of the last one; `last` None: there was none."""

    now: datetime
    last: datetime | None

    @property
    def continuous(self) -> bool:
        """Whether the time since the last evaluation counts."""
        return self.last is not None and self.last <= self.now <= self.last + LONGEST_PAUSE


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What is stored of an alert between evaluations.

    `held_seconds` and `cleared_seconds` are counted until `counted_from`; since then every reading was the same.
    `announced`: receivers were told that the alert fires, last at `announced_at`.
    """

    state: str
    since: datetime
    counted_from: datetime
    held_seconds: float = 0.0
    cleared_seconds: float = 0.0
    clear_since: datetime | None = None
    unknown_since: datetime | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_reason: str | None = None
    snoozed_until: datetime | None = None
    announced: bool = False
    announced_at: datetime | None = None
    flaps: int = 0

    @property
    def reading(self) -> bool | None:
        """What the last evaluation read."""
        return None if self.unknown_since is not None else self.clear_since is None

    def can_reopen(self, now: datetime) -> bool:
        """Whether a condition that holds again reopens this alert; False if it was not resolved by a reading."""
        if self.state != RESOLVED or self.resolved_at is None or self.clear_since is None:
            return False
        return timedelta() <= now - self.resolved_at < FLAP_WINDOW


class AlertStep(NamedTuple):
    """The result of one evaluation. `announce`: send a message about it; `detail`: why the state changed."""

    record: AlertRecord
    announce: bool = False
    detail: str = ""


def advance(
    record: AlertRecord | None, reading: bool | None, delays: Delays, evaluation: Evaluation
) -> AlertStep | None:
    """Returns the alert after this reading; None if there is none. `record` None: no alert of the subject is known.

    Returns a record that is not open only if this reading resolved it.
    """
    if record is None or record.state == RESOLVED:
        return _open(record, delays, evaluation.now) if reading else None
    counted = _count(record, reading, evaluation)
    if reading is None:
        return AlertStep(replace(counted, unknown_since=counted.unknown_since or evaluation.now))
    if reading:
        return _hold(counted, delays, evaluation.now)
    return _clear(counted, delays, evaluation.now)


def close(record: AlertRecord, reason: str, now: datetime, *, announce: bool, reopen: bool) -> AlertStep:
    """Resolves an open alert whatever was read: its org is paused, its anomaly withdrawn, and so on.

    `announce`: receivers of the message that it fires get one that it is over. `reopen`: it may be reopened, like an
    alert that a reading resolved.
    """
    told = announce and record.announced and record.state in {FIRING, ACKNOWLEDGED}
    resolved = replace(
        record,
        state=RESOLVED,
        resolved_at=now,
        resolved_reason=reason,
        clear_since=now if reopen else None,
        unknown_since=None,
        announced=False,
    )
    return AlertStep(resolved, told, reason)


def _open(record: AlertRecord | None, delays: Delays, now: datetime) -> AlertStep:
    """A new alert, or the old one again where it was resolved a moment ago."""
    if record is None or not record.can_reopen(now):
        pending = AlertRecord(PENDING, since=now, counted_from=now)
    else:
        pending = replace(
            record,
            state=PENDING,
            since=now,
            counted_from=now,
            held_seconds=0.0,
            cleared_seconds=0.0,
            clear_since=None,
            resolved_at=None,
            resolved_reason=None,
        )
    return _hold(pending, delays, now)


def _count(record: AlertRecord, reading: bool | None, evaluation: Evaluation) -> AlertRecord:
    """Adds the time since `counted_from` where the reading changes or the time does not continue."""
    if reading is record.reading and evaluation.continuous:
        return record
    seconds = 0.0 if evaluation.last is None else _seconds(record.counted_from, evaluation.last)
    held, cleared = record.held_seconds, record.cleared_seconds
    if record.reading is True:
        held += seconds
    elif record.reading is False:
        cleared += seconds
    return replace(record, held_seconds=held, cleared_seconds=cleared, counted_from=evaluation.now)


def _hold(record: AlertRecord, delays: Delays, now: datetime) -> AlertStep:
    holding = replace(record, clear_since=None, unknown_since=None, cleared_seconds=0.0)
    if holding.state == PENDING:
        if holding.held_seconds + _seconds(holding.counted_from, now) < delays.for_seconds:
            return AlertStep(holding)
        return _fire(holding, now)
    if holding.state == SNOOZED and holding.snoozed_until is not None and now >= holding.snoozed_until:
        firing = replace(holding, state=FIRING, snoozed_until=None, announced=True, announced_at=now)
        return AlertStep(firing, announce=True, detail="the snooze is over")
    if holding.state == FIRING and not holding.announced and _may_announce(holding, now):
        return AlertStep(replace(holding, announced=True, announced_at=now), announce=True, detail="it still fires")
    return AlertStep(holding)


def _fire(record: AlertRecord, now: datetime) -> AlertStep:
    again = record.fired_at is not None
    detail = "it fires again" if again else ""
    fired = replace(record, fired_at=now, flaps=record.flaps + again)
    if fired.snoozed_until is not None and now < fired.snoozed_until:
        return AlertStep(replace(fired, state=SNOOZED), detail=detail)
    fired = replace(fired, state=FIRING, snoozed_until=None)
    if not _may_announce(fired, now):
        return AlertStep(fired, detail=detail)
    return AlertStep(replace(fired, announced=True, announced_at=now), announce=True, detail=detail)


def _clear(record: AlertRecord, delays: Delays, now: datetime) -> AlertStep:
    over = replace(record, clear_since=record.clear_since or now, unknown_since=None)
    if over.state == PENDING:
        reason = NEVER_FIRED if over.fired_at is None else OVER
        return close(over, reason, now, announce=False, reopen=True)
    # `counted_from` is when it began to be over, where the reading before was another one.
    if over.cleared_seconds + _seconds(over.counted_from, now) < delays.clear_seconds:
        return AlertStep(over)
    return close(over, OVER, now, announce=True, reopen=True)


def _may_announce(record: AlertRecord, now: datetime) -> bool:
    """A time of the last message that is in the future comes from a wrong clock, and does not count."""
    last = record.announced_at
    return last is None or not timedelta() <= now - last < FLAP_WINDOW


def _seconds(since: datetime, until: datetime) -> float:
    return max((until - since).total_seconds(), 0.0)
