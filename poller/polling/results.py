"""What a poll leaves to be written: a row, a rate limit state, and credits to correct."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.core.model import USER_TYPES, Org, Outcome, Snapshot
from poller.core.token import UNOPENED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.admission import Poll, Record
    from poller.core.health import Parked
    from poller.core.poll_state import PollState
    from poller.store.orgs.rate_limits import RateLimitUpdate

Admitted = tuple["PollState", "Poll | Record"]
"""A slot that is polled or recorded, and the decision that says which."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of one org's poll, not written yet.

    `rate_limit`: what the poll learned about the org's limits. `reserved`: the credits reserved for the poll, at
    `reserved_at`. `parked`: how the org was parked before the poll. `extra_requests`: requests that are not part of
    the snapshot. `removed`: the org was removed during the poll, so there is nothing to write. `trace`: set by
    instrumentation that has to find the poll again when its row is committed.
    """

    org: Org
    snapshot: Snapshot
    rate_limit: RateLimitUpdate | None = None
    reserved: int = 0
    reserved_at: datetime | None = None
    parked: Parked | None = None
    extra_requests: int = 0
    removed: bool = False
    trace: Any = None

    @property
    def unopened(self) -> str | None:
        """The error if no key of this process decrypts the org's credentials; else None."""
        error = self.snapshot.error
        return error if error in UNOPENED and not self.snapshot.counts else None


def not_polled(state: PollState, outcome: Outcome, error: str) -> PollResult:
    """The result for a slot without a poll: a row without a time, and no credits to correct."""
    errors = dict.fromkeys(USER_TYPES, error)
    return PollResult(state.org, Snapshot(state.org.id, state.slot, None, outcome, error, errors))


def credit_corrections(batch: Sequence[PollResult]) -> dict[datetime, dict[int, int]]:
    """Credits to add (or to give back, if negative) per org, by the time of the reservation.

    A worker that dies before the correction has reserved too much: such an error costs the customer nothing.
    """
    corrections: dict[datetime, dict[int, int]] = {}
    for one in batch:
        difference = one.snapshot.requests + one.extra_requests - one.reserved
        if difference and one.reserved_at is not None:
            by_org = corrections.setdefault(one.reserved_at, {})
            by_org[one.org.id] = by_org.get(one.org.id, 0) + difference
    return corrections
