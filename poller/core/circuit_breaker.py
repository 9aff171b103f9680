"""Whether a data centre is away, judged by the polls of its orgs: so that a dead one does not hold the whole pool.

Several orgs that fail one after the other, and none that is heard in between, open its circuit; then one poll at a time
tries it, and the first that is heard closes it again. One org's trouble never opens it. What an open circuit keeps back
waits in the queue as long as its slot lasts: a data centre that comes back in time costs no reading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.schedule import Due

AWAY: Final = "data_center_away"
"""Error of a slot whose data centre was away until its time was over."""
ORGS_TO_OPEN: Final = 3
BETWEEN_PROBES: Final = timedelta(seconds=1)
LONGEST_PROBE: Final = timedelta(seconds=90)
"""A probe that was never heard of again (its worker let go of it) keeps the next one back no longer."""
SHORTEST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """What is known of one data centre. `failed`: the orgs that failed since one was last heard."""

    failed: frozenset[int] = frozenset()
    error: str | None = None
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    """While open: when it may next be tried."""


CLOSED: Final = CircuitBreaker()


def heard(_circuit: CircuitBreaker) -> CircuitBreaker:
    """An org there answered, whatever it said."""
    return CLOSED


def failed(circuit: CircuitBreaker, org_id: int, error: str | None, now: datetime) -> CircuitBreaker:
    """An org there could not be reached, or the data centre failed it."""
    orgs = circuit.failed | {org_id}
    if circuit.opened_at is None and len(orgs) < ORGS_TO_OPEN:
        return replace(circuit, failed=orgs, error=error)
    # No more than are needed: a fleet may have tens of thousands there.
    kept = circuit.failed if circuit.opened_at is not None else orgs
    return CircuitBreaker(kept, error, circuit.opened_at or now, now + BETWEEN_PROBES)


def allows(circuit: CircuitBreaker, now: datetime) -> bool:
    """Whether one more poll may go there now."""
    return circuit.probe_at is None or now >= circuit.probe_at


def on_probe(circuit: CircuitBreaker, now: datetime) -> CircuitBreaker:
    """A poll goes there: while the circuit is open, no other until it has ended."""
    return circuit if circuit.opened_at is None else replace(circuit, probe_at=now + LONGEST_PROBE)


def on_probe_abandoned(circuit: CircuitBreaker, now: datetime) -> CircuitBreaker:
    """A poll that was to go there asked nothing after all: another may."""
    return circuit if circuit.opened_at is None else replace(circuit, probe_at=now)


def wait_until(due: Due, now: datetime) -> datetime:
    """When a slot that was kept back is looked at again: the longer it has waited, the later."""
    return now + min(max(now - due.at, SHORTEST_WAIT), LONGEST_WAIT)
