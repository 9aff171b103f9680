"""A circuit breaker per data centre, so that one that is unreachable does not take all places for polls.

The breaker opens when the polls of three different orgs fail in a row. While it is open, one poll at a time probes the
data centre, and the first success closes the breaker. One org alone never opens it. Slots that an open breaker delays
wait in the queue until their time is over: if the data centre is reachable again in time, no slot is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.schedule import Due

AWAY: Final = "data_center_away"
"""The error of a slot whose data centre was unreachable until the slot's time was over."""
ORGS_TO_OPEN: Final = 3
BETWEEN_PROBES: Final = timedelta(seconds=1)
LONGEST_PROBE: Final = timedelta(seconds=90)
"""A probe without a result, for example because its job was released, delays the next probe for no longer than this."""
SHORTEST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The state of one data centre. `failed`: the orgs that failed since the last success."""

    failed: frozenset[int] = frozenset()
    error: str | None = None
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    """While the breaker is open: when the next probe is allowed."""


CLOSED: Final = CircuitBreaker()


def on_success(_circuit: CircuitBreaker) -> CircuitBreaker:
    """The state after a reply, even if the reply was an error."""
    return CLOSED


def on_failure(circuit: CircuitBreaker, org_id: int, error: str | None, now: datetime) -> CircuitBreaker:
    """The state after a poll that found the data centre unreachable or failing."""
    orgs = circuit.failed | {org_id}
    if circuit.opened_at is None and len(orgs) < ORGS_TO_OPEN:
        return replace(circuit, failed=orgs, error=error)
    # Keep only as many orgs as necessary: a fleet may have tens of thousands in one data centre.
    kept = circuit.failed if circuit.opened_at is not None else orgs
    return CircuitBreaker(kept, error, circuit.opened_at or now, now + BETWEEN_PROBES)


def allows(circuit: CircuitBreaker, now: datetime) -> bool:
    """True if one more poll may start now."""
    return circuit.probe_at is None or now >= circuit.probe_at


def on_probe(circuit: CircuitBreaker, now: datetime) -> CircuitBreaker:
    """The state after a poll has started: while the breaker is open, no other poll may start until this one ends."""
    return circuit if circuit.opened_at is None else replace(circuit, probe_at=now + LONGEST_PROBE)


def on_probe_abandoned(circuit: CircuitBreaker, now: datetime) -> CircuitBreaker:
    """The state after a probe ended without sending a request: the next probe is allowed."""
    return circuit if circuit.opened_at is None else replace(circuit, probe_at=now)


def wait_until(due: Due, now: datetime) -> datetime:
    """When a delayed slot is tried again: the longer it has waited, the later."""
    return now + min(max(now - due.at, SHORTEST_WAIT), LONGEST_WAIT)
