"""Whether a slot is polled now: one table, from what is known before the first request to what is done.

The first rule that holds decides. Waiting is a matter for the queue: a slot that must wait is put back until then, as
long as it is still open then; where it would be over, or where there is no queue (`poller poll`), `instead` says what
is done. It refuses to send a request, to wait, and to look at a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.circuit_breaker import AWAY
from poller.core.model import Outcome
from poller.core.rate_limit import REQUESTS_PER_POLL

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.core.health import Parked
    from poller.core.schedule import Due

TOO_LATE: Final = "too_late"
"""Error of a slot that was queued, and whose time was over before any worker came to it."""
NOT_RUNNING: Final = "not_running"
"""Error of a slot for which no poller ran."""
CRASHED: Final = "crashed"
"""Error of a slot whose poll ended in a mistake of the poller's own."""
HELD: Final = "held"
"""Error of a slot whose org a 429 holds for longer than the slot is open."""
CREDIT_SHARE_SPENT: Final = "credit_share_spent"
"""Error of a slot whose org has spent the poller's share of its credits."""

BUSY_WAIT: Final = timedelta(seconds=1)
"""How long a slot waits while another one of its org is being polled."""
PLACE_WAIT: Final = timedelta(seconds=0.2)
"""How long a slot waits for a place among the polls of its data centre."""
SHORTEST_KEY_WAIT: Final = timedelta(seconds=0.2)
LONGEST_KEY_WAIT: Final = timedelta(seconds=60)
"""How long a slot waits for a worker that has the key of its org."""
EARLY: Final = timedelta(seconds=1)
"""A slot that is due this soon is polled: clocks agree no better than this needs to assume."""
MARGIN: Final = timedelta(seconds=3)
"""A slot that is put back returns with jitter, to a worker that looks every second."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask the org now."""


@dataclass(frozen=True, slots=True)
class Record:
    """Write down why it is not asked. `missed`: there was no poll, so the row has no time of one."""

    outcome: Outcome
    error: str
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Requeue:
    """Put it back into the queue until then."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing is left to do."""


Decision = Poll | Record | Requeue | Discard


@dataclass(frozen=True, slots=True)
class PollState:
    """What is known of a slot and its org at `now`. `due`: None where a person asks for the poll, not the schedule.

    `known`: the slot's ten counts are known. `polled_at`: when the slot was polled last. `busy`: another slot of the
    org is being polled. `parked`: the org is parked, and not to be probed yet. `hold_until`, `cool_until`: a hold
    longer than any poll waits, a cool-down of the token endpoint. `credits_left` to spend on counts.
    `retry_data_center_at`: its data centre is unreachable, and looked at again then. `was_unreachable`: it was, at some
    time since the slot was due. `has_place`: its data centre has a place for one more poll. `unopened`: this worker's
    keys do not decrypt the org's credentials, and this is the error that says so.
    """

    now: datetime
    due: Due | None = None
    active: bool = True
    known: bool = False
    polled_at: datetime | None = None
    busy: bool = False
    parked: Parked | None = None
    hold_until: datetime | None = None
    cool_until: datetime | None = None
    credits_left: int = REQUESTS_PER_POLL
    retry_data_center_at: datetime | None = None
    was_unreachable: bool = False
    has_place: bool = True
    unopened: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the slot's time is over."""
        return self.due is not None and self.now >= self.due.until

    @property
    def is_early(self) -> bool:
        """Whether the slot is not due yet: a clock that was ahead may have queued it."""
        return self.due is not None and self.now < self.due.at - EARLY

    @property
    def was_polled(self) -> bool:
        """Whether it was polled since it was due: by a worker that died before it could say so, or by hand."""
        return self.due is not None and self.polled_at is not None and self.polled_at >= self.due.at


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `holds`, `decide` says what is done; `instead` where that is to wait and the slot cannot."""

    condition: str
    holds: Callable[[PollState], bool]
    decide: Callable[[PollState], Decision]
    instead: Poll | Record | None = None


def _always(decision: Decision) -> Callable[[PollState], Decision]:
    return lambda _state: decision


def _after(now: datetime, until: datetime | None) -> bool:
    return until is not None and until > now


def _leave_to_others(state: PollState) -> Decision:
    """Another worker may have the right key: the longer none had, the less often the slot is looked at again."""
    due, record = state.due, Record(Outcome.MISSED, state.unopened or "", missed=True)
    if due is None:
        return record
    left = due.until - state.now
    if left <= min(MARGIN, timedelta(seconds=due.interval_seconds) / 4):
        return record
    wait = min(max(state.now - due.at, SHORTEST_KEY_WAIT), LONGEST_KEY_WAIT, left / 2)
    return Requeue(state.now + wait, state.unopened or "")


TABLE: Final[tuple[Rule, ...]] = (
    Rule("the org is paused or removed", lambda s: not s.active, _always(Discard())),
    Rule("its ten counts are known", lambda s: s.known, _always(Discard())),
    Rule("it was polled since it was due", lambda s: s.was_polled, _always(Discard())),
    Rule("it is not due yet", lambda s: s.is_early, lambda s: Requeue(_due_at(s), "early")),
    Rule("another slot is being polled", lambda s: s.busy, lambda s: Requeue(s.now + BUSY_WAIT, "busy")),
    Rule(
        "its time is over, and its data centre was unreachable",
        lambda s: s.is_over and s.was_unreachable,
        _always(Record(Outcome.UNAVAILABLE, AWAY, missed=True)),
    ),
    Rule(
        "its time is over, and no key decrypts its credentials",
        lambda s: s.is_over and s.unopened is not None,
        lambda s: Record(Outcome.MISSED, s.unopened or "", missed=True),
    ),
    Rule("its time is over", lambda s: s.is_over, _always(Record(Outcome.MISSED, TOO_LATE, missed=True))),
    Rule("the org is parked", lambda s: s.parked is not None, lambda s: _parked(s.parked)),
    Rule(
        "a 429 holds the org",
        lambda s: _after(s.now, s.hold_until),
        lambda s: Requeue(s.hold_until or s.now, "hold"),
        instead=Record(Outcome.THROTTLED, HELD),
    ),
    Rule(
        "its share of credits is spent",
        lambda s: s.credits_left < REQUESTS_PER_POLL,
        _always(Record(Outcome.THROTTLED, CREDIT_SHARE_SPENT)),
    ),
    Rule("no key decrypts its credentials", lambda s: s.unopened is not None, _leave_to_others),
    Rule(
        "its token endpoint cools down",
        lambda s: _after(s.now, s.cool_until),
        lambda s: Requeue(s.cool_until or s.now, "cool_down"),
        instead=Poll(),  # the row says what the token endpoint had answered
    ),
    Rule(
        "its data centre is unreachable",
        lambda s: s.retry_data_center_at is not None,
        lambda s: Requeue(s.retry_data_center_at or s.now, "data_center"),
        instead=Record(Outcome.UNAVAILABLE, AWAY),
    ),
    Rule("its data centre has no place", lambda s: not s.has_place, lambda s: Requeue(s.now + PLACE_WAIT, "places")),
    Rule("nothing is in the way", lambda _: True, _always(Poll())),
)


def decide(state: PollState) -> Decision:
    """What is done about this slot."""
    rule = next(rule for rule in TABLE if rule.holds(state))
    decision = rule.decide(state)
    if isinstance(decision, Requeue) and rule.instead is not None and not _is_open_at(state, decision.until):
        return rule.instead
    return decision


def _is_open_at(state: PollState, moment: datetime) -> bool:
    return state.due is not None and moment < state.due.until - MARGIN


def _due_at(state: PollState) -> datetime:
    return state.now if state.due is None else state.due.at


def _parked(parked: Parked | None) -> Record:
    return Record(Outcome.UNAUTHORIZED, "") if parked is None else Record(parked.outcome, parked.code)
