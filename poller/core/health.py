"""Decides after a poll whether an org is parked or unparked, from this poll and the one before.

An org is parked if only a person can repair it. One refusal does not park an org that was polled successfully before,
because Zoho's servers sometimes refuse valid tokens for a while: the next slot decides. If several orgs of one data
centre are refused at the same time, the data centre is at fault and no org is parked. A refusal of the token endpoint
(revoked consent, wrong client) and credentials of another Zoho org park an org at once; other modules decide that.
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
"""If this many orgs of one data centre, and at least half of those polled, are refused, the orgs are not at fault."""


class HealthChange(StrEnum):
    """How the parking of an org changes."""

    NOTHING = "nothing"
    UNPARK = "unpark"
    PARK = "park"
    PROBE_LATER = "probe_later"
    """The org is parked, and this probe did not show whether it works again."""
    SUSPECT = "suspect"
    """The first refusal: the next slot decides."""
    DATA_CENTER = "data_center"
    """Refused like other orgs of its data centre: not the org's fault."""


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
    """Orgs of one data centre that are not parked: how many were `refused` in their last poll, and how many not."""

    refused: int = 0
    answered: int = 0

    @property
    def widespread(self) -> bool:
        """True if the data centre is at fault, not its orgs."""
        return self.refused >= WIDESPREAD_ORGS and self.refused >= self.answered


def is_refusal(snapshot: Snapshot) -> bool:
    """True if the API refused the whole poll. False if no request was sent: then the token endpoint has decided."""
    if snapshot.error == ANOTHER_ORG:
        return False
    return snapshot.outcome in REFUSALS and snapshot.requests > 0 and snapshot.error is not None


def outcome_of_parked_code(code: str) -> Outcome:
    """The outcome of an org that a worker of an earlier release parked without recording one.

    A code in capitals is the API's: the token was valid but not sufficient. Other codes are the token endpoint's.
    """
    if code in BY_CODE:
        return BY_CODE[code].outcome
    return Outcome.FORBIDDEN if code.isupper() or code == "http_403" else Outcome.UNAUTHORIZED


def judge_health(
    snapshot: Snapshot, *, parked: bool, probed: bool, before: Outcome | None, around: Refusals | None
) -> HealthChange:
    """What to do after a poll.

    `before`: the outcome of the org's last poll in an earlier slot that succeeded or was refused; None without a recent
    one. `around`: the refusals in its data centre; None if not looked up. `probed`: the org was polled while parked.
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
