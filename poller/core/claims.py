"""What a worker does with a slot it was given: poll it, write down why not, try later, or nothing.

Decided from what is known before the first request leaves. Waiting is a matter for the queue: a slot that must wait is
put back for as long as it takes, never slept over, unless its time would be over by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poller.core.schedule import Due

TOO_LATE: Final = "too_late"
"""Error of a slot that was queued, and whose time was over before any worker came to it."""
NOT_RUNNING: Final = "not_running"
"""Error of a slot for which no poller ran."""
CRASHED: Final = "crashed"
"""Error of a slot whose poll ended in a mistake of the poller's own."""

BUSY_SECONDS: Final = 1.0
"""How long a slot waits where an earlier one of its org is still being polled."""
MARGIN: Final = timedelta(seconds=3)
"""What is put back comes back with jitter, to a worker that looks every second."""
_SHORTEST_WAIT: Final = timedelta(seconds=0.2)
_LONGEST_WAIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask the org now."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Its time is over: write that down."""

    error: str = TOO_LATE


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet: after so many seconds."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is to be done about it any more."""


Verdict = Poll | Miss | Later | Drop


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What there is to know of a slot and its org.

    `ok`: the slot's ten counts are known. `polled_at`: when it was polled last. `busy`: the org is being polled.
    `wait_until`: a hold, a cool-down or a data centre that is away lets nothing leave before. `unopened`: this worker's
    keys do not open the org's credentials, and this is the error that says so.
    """

    active: bool
    ok: bool = False
    polled_at: datetime | None = None
    busy: bool = False
    wait_until: datetime | None = None
    wait_for: str = ""
    unopened: str | None = None


def decide(due: Due, known: Circumstances, now: datetime) -> Verdict:
    """What to do about `due` at `now`."""
    if not known.active or known.ok or (known.polled_at is not None and known.polled_at >= due.at):
        # Polled by a worker that died before it could say so, or by hand: never twice.
        return Drop()
    if known.busy:
        return Later(BUSY_SECONDS, "busy")
    if known.unopened is not None:
        return _leave_to_others(due, known.unopened, now)
    if now >= due.until:
        return Miss()
    if known.wait_until is not None and now < known.wait_until < due.until - MARGIN:
        return Later((known.wait_until - now).total_seconds(), known.wait_for)
    return Poll()


def _leave_to_others(due: Due, error: str, now: datetime) -> Later | Miss:
    """Another worker may have the right key: the longer none had, the more seldom the slot is looked at again."""
    left = due.until - now
    if left <= min(MARGIN, timedelta(seconds=due.interval_seconds) / 4):
        return Miss(error)
    wait = min(max(now - due.at, _SHORTEST_WAIT), _LONGEST_WAIT, left / 2)
    return Later(wait.total_seconds(), error)
