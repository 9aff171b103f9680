"""What is wrong in the demo's fleet: a few orgs of each kind of trouble, always the same ones.

A fleet of fewer than twenty orgs has no trouble, so that a short demo is easy to read.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.model import Outcome
from poller.simulator.control import narrow, revoke
from poller.simulator.faults import Fault
from poller.simulator.rules import ORG_SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from poller.simulator import Simulator

SMALLEST_FLEET: Final = 20


class DemoFailure(NamedTuple):
    """What the polls of an org came to since a number of hours ago."""

    outcome: Outcome
    error: str
    hours: int


REVOKED: Final = (3, 17)
"""Their customers withdrew consent."""
NARROWED: Final = 8
"""Its token lacks the scope for counts."""
UNAVAILABLE: Final = 6
"""Zoho answers every request for its counts with 503."""
PARTIAL: Final = 16
"""One of its ten counts cannot be read."""
THROTTLED: Final = (2, 11, 14)
"""Zoho answers 429 to them. All three are in the third data centre."""
PAUSED: Final = 12
PAUSED_DAYS: Final = 9

FAILURES: Final = {
    3: DemoFailure(Outcome.UNAUTHORIZED, "invalid_code", 5),
    17: DemoFailure(Outcome.UNAUTHORIZED, "invalid_code", 76),
    NARROWED: DemoFailure(Outcome.FORBIDDEN, "OAUTH_SCOPE_MISMATCH", 29),
    UNAVAILABLE: DemoFailure(Outcome.UNAVAILABLE, "http_503", 2),
}
_RETRY_AFTER_SECONDS: Final = 45


def has_trouble(orgs: int) -> bool:
    """Whether a fleet of this size has orgs in trouble."""
    return orgs >= SMALLEST_FLEET


def never_polled(orgs: int) -> int | None:
    """The number of the org that has just been added, and is polled once a day; None in a fleet without trouble."""
    return orgs - 1 if has_trouble(orgs) else None


def past_failure(orgs: int, index: int, slot: datetime, now: datetime) -> DemoFailure | None:
    """Why the poll of an org at `slot` failed, if it did."""
    failure = FAILURES.get(index) if has_trouble(orgs) else None
    return failure if failure is not None and slot > now - timedelta(hours=failure.hours) else None


def is_paused(orgs: int, index: int, slot: datetime, now: datetime) -> bool:
    """Whether an org was paused at `slot`, and has no row."""
    return has_trouble(orgs) and index == PAUSED and slot > now - timedelta(days=PAUSED_DAYS)


def cause_trouble(simulator: Simulator) -> None:
    """Makes the simulated Zoho refuse and fail as the history says."""
    if not has_trouble(simulator.options.orgs):
        return
    for index in REVOKED:
        revoke(simulator.zoho, index)
    narrow(simulator.zoho, NARROWED, ORG_SCOPE)
    simulator.add_faults(*_faults())


def _faults() -> Iterator[Fault]:
    yield Fault(name="unavailable", org=UNAVAILABLE)
    yield Fault(name="count_null", org=PARTIAL, user_type="AdminUsers")
    for index in THROTTLED:
        yield Fault(name="too_many_requests", org=index, retry_after=_RETRY_AFTER_SECONDS)
