"""Decides whether a slot is polled now: one table, from what is known before the first request to what happens.

The first rule whose condition holds decides. A slot that has to wait goes back into the queue, as long as the slot is
still open when the wait ends. If the wait would outlast the slot, or if there is no queue (`poller poll`), the rule's
`otherwise` decides. Nothing here sends a request, waits or reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from poller.core.circuit_breaker import AWAY
from poller.core.editions import REQUESTS_PER_POLL
from poller.core.model import Outcome
from poller.core.poll_state import INFO_REQUESTS, PollState

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TOO_LATE: Final = "too_late"
"""Error of a slot that was in the queue, and was over before any worker claimed it."""
NOT_RUNNING: Final = "not_running"
"""Error of a slot for which no poller ran."""
CRASHED: Final = "crashed"
"""Error of a slot whose poll ended with a bug of the poller."""
HELD: Final = "held"
"""Error of a slot whose org is held after a 429 until the slot is over."""
CREDIT_SHARE_SPENT: Final = "credit_share_spent"
"""Error of a slot whose org has no credits left for the poller."""

LONGEST_WAIT: Final = timedelta(seconds=20)
"""How long a poll waits for its org's rate limit or for Zoho. For a longer wait the slot goes back into the queue."""
BUSY_WAIT: Final = timedelta(seconds=1)
"""How long a slot waits while another slot of its org is being polled."""
PLACE_WAIT: Final = timedelta(seconds=0.2)
"""How long a slot waits for a place among the polls of its data centre."""
SHORTEST_KEY_WAIT: Final = timedelta(seconds=0.2)
LONGEST_KEY_WAIT: Final = timedelta(seconds=60)
"""How long a slot waits for a worker that has the key of its org."""
MARGIN: Final = timedelta(seconds=3)
"""A slot comes back from the queue this much later at most: by the jitter, and because workers look every second."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Request the counts now.

    `refresh_info`: request edition and licences too. `prove_first`: request the zgid before the counts, because the
    credentials are new and may belong to another Zoho org.
    """

    refresh_info: bool = False
    prove_first: bool = False

    @property
    def cost(self) -> int:
        """The credits that the poll needs if no request is repeated."""
        return REQUESTS_PER_POLL + (INFO_REQUESTS if self.refresh_info else 0)


@dataclass(frozen=True, slots=True)
class Record:
    """Write a row that says why the org is not polled. `missed`: the row has no time of a poll."""

    outcome: Outcome
    error: str
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Requeue:
    """Put the slot back into the queue until then."""

    until: datetime
    reason: str

    def delay(self, now: datetime, jitter: float) -> timedelta:
        """How long from now; `jitter`, in [0, 1), adds at most a second, and at most the wait itself."""
        wait = max(self.until - now, timedelta())
        return wait + min(wait, timedelta(seconds=1)) * jitter


@dataclass(frozen=True, slots=True)
class Discard:
    """Do nothing: the slot needs neither a poll nor a row."""


Decision = Poll | Record | Requeue | Discard


@dataclass(frozen=True, slots=True)
class Rule:
    """If `holds`, `decide` says what happens; `otherwise` replaces a wait that is not possible."""

    condition: str
    holds: Callable[[PollState], bool]
    decide: Callable[[PollState], Decision]
    otherwise: Callable[[PollState], Poll | Record] | None = None


def _always(decision: T) -> Callable[[PollState], T]:
    return lambda _state: decision


def _poll(state: PollState) -> Poll:
    refresh = state.refreshes_info
    return Poll(refresh, prove_first=refresh and state.is_unproven)


def _leave_to_others(state: PollState) -> Decision:
    """Another worker may have the key: the longer no worker had, the less often the slot is tried again."""
    due, record = state.due, _unopened(state)
    if due is None:
        return record
    left = due.until - state.now
    if left <= min(MARGIN, timedelta(seconds=due.interval_seconds) / 4):
        return record
    wait = min(max(state.now - due.at, SHORTEST_KEY_WAIT), LONGEST_KEY_WAIT, left / 2)
    return Requeue(state.now + wait, state.unopened or "")


def _unopened(state: PollState) -> Record:
    return Record(Outcome.MISSED, state.unopened or "", missed=True)


def _parked(state: PollState) -> Decision:
    return Discard() if state.parked is None else Record(state.parked.outcome, state.parked.code)


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
        _unopened,
    ),
    Rule("its time is over", lambda s: s.is_over, _always(Record(Outcome.MISSED, TOO_LATE, missed=True))),
    Rule("the org is parked", lambda s: s.is_parked, _parked),
    Rule(
        "a 429 holds the org",
        lambda s: s.hold_until is not None and s.hold_until - s.now > LONGEST_WAIT,
        lambda s: Requeue(s.hold_until or s.now, "hold"),
        otherwise=_always(Record(Outcome.THROTTLED, HELD)),
    ),
    Rule(
        "its share of credits is spent",
        lambda s: s.lacks_credits,
        _always(Record(Outcome.THROTTLED, CREDIT_SHARE_SPENT)),
    ),
    Rule("no key decrypts its credentials", lambda s: s.unopened is not None, _leave_to_others),
    Rule(
        "its token endpoint cools down",
        lambda s: s.cool_until is not None and s.cool_until > s.now,
        lambda s: Requeue(s.cool_until or s.now, "cool_down"),
        otherwise=_poll,  # the row says what the token endpoint had answered
    ),
    Rule(
        "its data centre is unreachable",
        lambda s: s.retry_data_center_at is not None,
        lambda s: Requeue(s.retry_data_center_at or s.now, "data_center"),
        otherwise=_always(Record(Outcome.UNAVAILABLE, AWAY)),
    ),
    Rule("its data centre has no place", lambda s: not s.has_place, lambda s: Requeue(s.now + PLACE_WAIT, "places")),
    Rule("nothing is in the way", lambda _: True, _poll),
)


def decide(state: PollState) -> Decision:
    """What happens to this slot now."""
    rule = next(rule for rule in TABLE if rule.holds(state))
    decision = rule.decide(state)
    if isinstance(decision, Requeue) and rule.otherwise is not None and not _is_open_at(state, decision.until):
        return rule.otherwise(state)
    return decision


def decide_by_hand(state: PollState) -> Poll | Record:
    """What happens to an org that a person asks to poll: there is no queue in which the poll could wait."""
    decision = decide(state)
    return decision if isinstance(decision, Record) else _poll(state)


def _is_open_at(state: PollState, moment: datetime) -> bool:
    return state.due is not None and moment < state.due.until - MARGIN


def _due_at(state: PollState) -> datetime:
    return state.now if state.due is None else state.due.at
