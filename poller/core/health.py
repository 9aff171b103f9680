"""Whether an org is parked, unparked or left as it is after a poll: decided from this poll and the one before.

An org is parked where only a person can repair it. One that answered lately is not parked for a single refusal: Zoho's
servers sometimes refuse good tokens for a while, and the next slot tells. Several orgs of one data centre refused at
once is the data centre's trouble: none of them is parked. What the token endpoint refuses (a revoked consent, a wrong
client) is certain, and parks at once, and so do credentials of another Zoho org; that is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from poller.core.another_org import ANOTHER_ORG
from poller.core.model import Outcome
from poller.core.reply import BY_CODE

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.model import Snapshot

REFUSALS: Final = frozenset({Outcome.UNAUTHORIZED, Outcome.FORBIDDEN})
WIDESPREAD_ORGS: Final = 3
"""So many orgs of one data centre refused, and at least half of those that were asked: it is not the orgs."""


class HealthChange(StrEnum):
    """What is to be done about an org's parking."""

    NOTHING = "nothing"
    UNPARK = "unpark"
    PARK = "park"
    PROBE_LATER = "probe_later"
    """It is parked, and this probe told nothing new."""
    SUSPECT = "suspect"
    """Refused for the first time: the next slot decides."""
    DATA_CENTER = "data_center"
    """Refused, as are other orgs of its data centre: not the org's fault."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Why an org is parked, since when, what a person has to do, and when the org is probed next.

    `outcome`: of the poll that parked the org.
    """

    at: datetime
    code: str
    remedy: str
    probe_at: datetime
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Refusals:
    """Of one data centre: orgs, not parked, whose newest poll was refused, and those whose newest poll was answered."""

    refused: int = 0
    answered: int = 0

    @property
    def widespread(self) -> bool:
        """Whether it is the data centre rather than its orgs."""
        return self.refused >= WIDESPREAD_ORGS and self.refused >= self.answered


def is_refusal(snapshot: Snapshot) -> bool:
    """Whether the API refused the whole poll; where no request left, the token endpoint's answer has been judged."""
    if snapshot.error == ANOTHER_ORG:
        return False
    return snapshot.outcome in REFUSALS and snapshot.requests > 0 and snapshot.error is not None


def outcome_of_parked_code(code: str) -> Outcome:
    """The outcome of an org that was parked without one, by a worker of an earlier release.

    The API's codes are in capitals: the token was good and what it may do was not enough. The others are the token
    endpoint's.
    """
    if code in BY_CODE:
        return BY_CODE[code].outcome
    return Outcome.FORBIDDEN if code.isupper() or code == "http_403" else Outcome.UNAUTHORIZED


def judge_health(
    snapshot: Snapshot, *, parked: bool, probed: bool, before: Outcome | None, around: Refusals | None
) -> HealthChange:
    """What to do after a poll.

    `before`: what came of the org's last poll in an earlier slot that was answered or refused; None where there was
    none lately. `around`: of its data centre; None where that was not looked up. `probed`: it was asked though parked.
    """
    if snapshot.counts:
        return HealthChange.UNPARK if parked else HealthChange.NOTHING
    if not is_refusal(snapshot):
        probe_was_held_up = parked and probed and snapshot.outcome is not Outcome.UNAUTHORIZED
        return HealthChange.PROBE_LATER if probe_was_held_up else HealthChange.NOTHING
    if parked or before is None:
        return HealthChange.PARK
    if snapshot.outcome is Outcome.UNAUTHORIZED and around is not None and around.widespread:
        return HealthChange.DATA_CENTER
    return HealthChange.PARK if before in REFUSALS else HealthChange.SUSPECT
