"""From the verdicts on ten requests to what the whole poll came to.

Refuses to average: ten known counts are `ok`, some are `partial`, none is the gravest reason among the ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.model import USER_TYPES, Outcome
from poller.core.reply import implausible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.model import UserType

# The gravest first: what a person must mend comes before what mends itself.
_SEVERITY: Final = (
    Outcome.UNAUTHORIZED,
    Outcome.FORBIDDEN,
    Outcome.REJECTED,
    Outcome.THROTTLED,
    Outcome.MALFORMED,
    Outcome.UNAVAILABLE,
    Outcome.MISSED,
)


@dataclass(frozen=True, slots=True)
class CountRefusal:
    """Why one count is not known: the outcome of its request, and the code in Zoho's spelling or ours."""

    outcome: Outcome
    code: str


@dataclass(frozen=True, slots=True)
class PollSummary:
    """What a poll came to: the fields of its snapshot that do not depend on when and how it was asked."""

    outcome: Outcome
    error: str | None
    errors: Mapping[UserType, str]
    counts: Mapping[UserType, int]


def combine(answers: Mapping[UserType, int | CountRefusal]) -> PollSummary:
    """The snapshot's outcome, error, errors and counts; a type that has no answer counts as missed."""
    counts: dict[UserType, int] = {}
    refusals: dict[UserType, CountRefusal] = {}
    for user_type in USER_TYPES:
        answer = answers.get(user_type, _MISSED)
        if isinstance(answer, CountRefusal):
            refusals[user_type] = answer
        else:
            counts[user_type] = answer
    errors = {user_type: refusal.code for user_type, refusal in refusals.items()}
    errors |= {user_type: code for user_type, count in counts.items() if (code := implausible(user_type, count))}
    if not refusals:
        return PollSummary(Outcome.OK, None, errors, counts)
    worst = min(refusals.values(), key=lambda refusal: _SEVERITY.index(refusal.outcome))
    return PollSummary(Outcome.PARTIAL if counts else worst.outcome, worst.code, errors, counts)


_MISSED: Final = CountRefusal(Outcome.MISSED, "not_asked")
