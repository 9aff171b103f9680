"""What is done with one org now: ask it, or write down why not.

Puts together what is stored of an org for `core.admission`, which decides, before anything is reserved and any request
leaves. It refuses to ask anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.admission import Poll, PollState, Record, decide
from poller.core.rate_limit import REQUESTS_PER_POLL, affordable_interval, credits_to_spend, daily_credits
from poller.core.slots import slot_of
from poller.polling.poll import LONGEST_WAIT_SECONDS

if TYPE_CHECKING:
    from poller.core.schedule import Due
    from poller.settings import Settings
    from poller.store.orgs.poll_slots import PollableSlot
    from poller.store.orgs.poll_state import PollableOrg

FACTS_SECONDS: Final = 86_400.0
"""How long edition and licences are believed; of an org where one is unknown they are asked for with its next count."""

FACTS_REQUESTS: Final = 2
"""To `/org` and to `user_licenses`, once a day beside the ten counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A poll of one org: `refusal` is why it is not asked, None where it is."""

    pollable: PollableOrg
    slot: datetime
    at: datetime
    refusal: Record | None
    due_at: datetime | None = None
    """When it was due, where there is a schedule: later than that is late."""
    learn: bool = False
    """Ask what edition the org has by now."""
    prove: bool = False
    """Ask first whether its new credentials are those of the same Zoho org: before its counts."""

    @property
    def cost(self) -> int:
        """The credits it takes if every request is answered at once."""
        if self.refusal is not None:
            return 0
        return REQUESTS_PER_POLL + (FACTS_REQUESTS if self.learn else 0)


def plan(
    pollable: PollableOrg, now: datetime, settings: Settings, *, probe: bool = False, unopened: str | None = None
) -> Plan:
    """A poll by hand: which slot of this org `now` belongs to, and whether it may be asked. `probe`: even if parked.

    `unopened`: the error where this process's keys do not decrypt its credentials.
    """
    org = pollable.org
    slot = slot_of(now, affordable_interval(org.interval_seconds, _allowance(pollable), settings.credit_share))
    decision = decide(replace(_state(pollable, now, settings, probe=probe), unopened=unopened))
    return _plan(pollable, slot, now, settings, decision if isinstance(decision, Record) else None)


def plan_slot(pollable: PollableOrg, due: Due, now: datetime, settings: Settings, decision: Poll | Record) -> Plan:
    """A poll by the schedule, as it was decided."""
    refusal = decision if isinstance(decision, Record) else None
    return _plan(pollable, due.slot, now, settings, refusal, due_at=due.at)


def state_of_slot(
    found: PollableSlot, due: Due, now: datetime, settings: Settings, *, unopened: str | None = None
) -> PollState:
    """What is stored of a slot and its org; what its worker knows is still to be added."""
    return replace(
        _state(found.pollable, now, settings),
        due=due,
        active=found.active,
        known=found.known,
        polled_at=found.polled_at,
        busy=found.busy,
        cool_until=found.cool_until,
        unopened=unopened,
    )


def _state(pollable: PollableOrg, now: datetime, settings: Settings, *, probe: bool = False) -> PollState:
    parked = pollable.parked
    hold_until = datetime.fromtimestamp(pollable.quota.hold_until, UTC)
    return PollState(
        now=now,
        parked=parked if parked is not None and not probe and now < parked.probe_at else None,
        # A shorter hold is waited for by the poll itself.
        hold_until=hold_until if hold_until - now > timedelta(seconds=LONGEST_WAIT_SECONDS) else None,
        # What asks first whose its credentials are needs credits for that as well.
        credits_left=_credits_left(pollable, now, settings) - (FACTS_REQUESTS if pollable.is_unproven else 0),
    )


def _plan(
    pollable: PollableOrg,
    slot: datetime,
    now: datetime,
    settings: Settings,
    refusal: Record | None,
    *,
    due_at: datetime | None = None,
) -> Plan:
    stale = _age(pollable.info_at, now) >= FACTS_SECONDS
    learn = refusal is None and stale and _credits_left(pollable, now, settings) >= REQUESTS_PER_POLL + FACTS_REQUESTS
    return Plan(pollable, slot, now, refusal, due_at, learn, prove=learn and pollable.is_unproven)


def _credits_left(pollable: PollableOrg, now: datetime, settings: Settings) -> int:
    return credits_to_spend(
        _allowance(pollable),
        settings.credit_share,
        pollable.credits_spent,
        pollable.credits_remaining,
        _age(pollable.credits_remaining_at, now),
    )


def _allowance(pollable: PollableOrg) -> int:
    return daily_credits(pollable.org.edition, pollable.org.licences)


def _age(at: datetime | None, now: datetime) -> float:
    return math.inf if at is None else (now - at) / timedelta(seconds=1)
