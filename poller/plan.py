"""What is to be done with one org now: ask it, or write down why not.

Decided from what is stored of it, before anything is reserved and any request leaves. It refuses to ask anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.core.quota import REQUESTS_PER_POLL, affordable_interval, credits_to_spend, daily_credits
from poller.core.reply import BY_CODE
from poller.core.slots import slot_of
from poller.poll import HELD, LONGEST_WAIT_SECONDS

if TYPE_CHECKING:
    from datetime import datetime

    from poller.settings import Settings
    from poller.store.pollable import PollableOrg

CREDIT_SHARE_SPENT: Final = "credit_share_spent"
FACTS_SECONDS: Final = 86_400.0
"""How long edition and licences are believed; of an org where one is unknown they are asked for with its next count."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A poll of one org: `refusal` is why it is not to be asked, None where it is."""

    pollable: PollableOrg
    slot: datetime
    at: datetime
    refusal: tuple[Outcome, str] | None
    due_at: datetime | None = None
    """When it was to be polled, where there is a schedule: later than that is late."""
    learn: bool = False
    """Ask what edition the org has by now."""

    @property
    def cost(self) -> int:
        """The credits it takes if every request is answered at once."""
        return 0 if self.refusal is not None else REQUESTS_PER_POLL + self.learn


def plan(pollable: PollableOrg, now: datetime, settings: Settings, *, probe: bool = False) -> Plan:
    """Which slot of this org `now` belongs to, and whether it may be asked at all."""
    org, parked = pollable.org, pollable.parked
    allowance = daily_credits(org.edition, org.licences)
    slot = slot_of(now, affordable_interval(org.interval_seconds, allowance, settings.credit_share))
    if parked is not None and not probe and now < parked.probe_at:
        return Plan(pollable, slot, now, (_outcome_of(parked.code), parked.code))
    if pollable.quota.hold_until - now.timestamp() > LONGEST_WAIT_SECONDS:
        return Plan(pollable, slot, now, (HELD.outcome, HELD.code))
    left = credits_to_spend(
        allowance,
        settings.credit_share,
        pollable.credits_spent,
        pollable.credits_remaining,
        _age(pollable.credits_remaining_at, now),
    )
    if left < REQUESTS_PER_POLL:
        return Plan(pollable, slot, now, (Outcome.THROTTLED, CREDIT_SHARE_SPENT))
    stale = _age(pollable.facts_at, now) >= FACTS_SECONDS
    return Plan(pollable, slot, now, None, learn=stale and left > REQUESTS_PER_POLL)


def _age(at: datetime | None, now: datetime) -> float:
    return math.inf if at is None else (now - at) / timedelta(seconds=1)


def _outcome_of(code: str) -> Outcome:
    """Of a parked org: what the API refuses is forbidden, what the token endpoint refuses leaves it without a token."""
    if code in BY_CODE:
        return BY_CODE[code].outcome
    return Outcome.FORBIDDEN if code.isupper() or code == "http_403" else Outcome.UNAUTHORIZED
