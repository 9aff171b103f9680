"""Combines the results of ten requests into the result of the poll.

Ten known counts are `ok`, some are `partial`; with none, the outcome is the most severe one of the ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.model import USER_TYPES, Outcome
from poller.core.reply import implausible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.model import UserType

# The most severe first: what a person must fix comes before what passes automatically.
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
    """Why one count is not known: the outcome of its request, and Zoho's code or the poller's own."""

    outcome: Outcome
    code: str


@dataclass(frozen=True, slots=True)
class PollSummary:
    """The result of a poll: the fields of its snapshot that do not depend on times and numbers of requests."""

    outcome: Outcome
    error: str | None
    errors: Mapping[UserType, str]
    counts: Mapping[UserType, int]


def combine(results: Mapping[UserType, int | CountRefusal]) -> PollSummary:
    """The snapshot's outcome, error, errors and counts; a user type without a result counts as missed."""
    counts: dict[UserType, int] = {}
    refusals: dict[UserType, CountRefusal] = {}
    for user_type in USER_TYPES:
        result = results.get(user_type, _MISSED)
        if isinstance(result, CountRefusal):
            refusals[user_type] = result
        else:
            counts[user_type] = result
    errors = {user_type: refusal.code for user_type, refusal in refusals.items()}
    errors |= {user_type: code for user_type, count in counts.items() if (code := implausible(user_type, count))}
    if not refusals:
        return PollSummary(Outcome.OK, None, errors, counts)
    worst = min(refusals.values(), key=lambda refusal: _SEVERITY.index(refusal.outcome))
    return PollSummary(Outcome.PARTIAL if counts else worst.outcome, worst.code, errors, counts)


_MISSED: Final = CountRefusal(Outcome.MISSED, "not_asked")
