"""The words of an Org page: what a state, an outcome, a gap, a step and a forecast mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.durations import DAY_SECONDS
from poller.core.editions import daily_credits, is_known_edition, limits_of
from poller.core.model import Outcome
from poller.core.quantities import count
from poller.core.resolution import HOUR_SECONDS
from poller.core.states import State
from poller.web.pages.formats import change, day, interval

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date

    from poller.core.model import UserType
    from poller.core.org_facts import OrgFacts
    from poller.query.forecast_fans import OrgPrediction

OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    Outcome.OK: ("ok", "all ten counts are known"),
    Outcome.PARTIAL: ("late", "some of the ten counts are known"),
    Outcome.THROTTLED: ("held", "Zoho's limits, or the poller's share of the credits, did not allow the requests"),
    Outcome.UNAUTHORIZED: ("parked", "there was no valid token"),
    Outcome.FORBIDDEN: ("parked", "the token was valid but does not allow the request"),
    Outcome.REJECTED: ("failing", "Zoho considered the request invalid"),
    Outcome.UNAVAILABLE: ("failing", "Zoho did not reply, or failed"),
    Outcome.MALFORMED: ("failing", "the reply was not Zoho's, or had no count"),
    Outcome.MISSED: ("never_polled", "the slot was not polled"),
}
"""The colour of each outcome, as that of a state, and what the outcome means."""
_STATES: Final[Mapping[str, str]] = {
    State.OK: "polled in time, and all ten counts are known",
    State.LATE: "not polled for two intervals",
    State.FAILING: "the last poll failed, or returned only some of the counts",
    State.PARKED: "polls are stopped until a person repairs the org",
    State.HELD: "Zoho's limits delay the next poll",
    State.PAUSED: "an operator paused the org: it is not polled",
    State.NEVER_POLLED: "not polled yet",
    State.REMOVED: "removed: the history is kept, the credentials are deleted",
}
_STEPS: Final[Mapping[int, str]] = {
    HOUR_SECONDS: "by hour",
    DAY_SECONDS: "by day of UTC",
    7 * DAY_SECONDS: "by week of UTC",
    28 * DAY_SECONDS: "by four weeks",
}


def state_meaning(state: str) -> str:
    """What the state means."""
    return _STATES.get(state, state)


def step_words(step_seconds: int, interval_seconds: int) -> str:
    """The step of a series: `by day of UTC`, or `every 15 m, as polled`."""
    named = _STEPS.get(step_seconds)
    if named is not None:
        return named
    words = f"every {interval(step_seconds)}"
    return f"{words}, as polled" if step_seconds <= interval_seconds else words


def gap_words(reason: str) -> str:
    """A gap's reason in words, with its code: `unavailable (http_503)`."""
    outcome, _, code = reason.partition(": ")
    return f"{outcome} ({code})" if code else outcome


def concerns(reason: str, user_types: Collection[UserType]) -> bool:
    """Whether a gap with that reason hides one of these types; a partial poll hides only those that it names."""
    outcome, _, codes = reason.partition(": ")
    if outcome != Outcome.PARTIAL:
        return True
    hidden = {part.split(" ")[0] for part in codes.split(", ")}
    return any(one.value in hidden for one in user_types)


def interval_words(facts: OrgFacts) -> str:
    """How often the org is polled, and why less often than asked for."""
    seconds, asked = facts.effective_interval_seconds, facts.interval_seconds
    if seconds == asked:
        return f"every {interval(seconds)}, not stretched"
    known = "" if is_known_edition(facts.edition) else "; the edition is not known, so the limits of the free one apply"
    credits_a_day = daily_credits(facts.edition, facts.licences)
    return (
        f"every {interval(seconds)}, stretched from {interval(asked)}: "
        f"{facts.credit_share:.0%} of {credits_a_day:,} credits a day pay no more{known}"
    )


def rate_words(facts: OrgFacts) -> str:
    """Requests in flight and a second, and what a 429 changed."""
    limits = limits_of(facts.edition, facts.in_flight_share)
    words = f"{limits.in_flight} in flight, {limits.rate * facts.rate_factor:.3g} a second"
    return words if facts.rate_factor == 1 else f"{words} ({facts.rate_factor:.0%} of the full rate, after a 429)"


def run_out_words(forecast: OrgPrediction | None, facts: OrgFacts, today: date) -> tuple[str, str]:
    """The day the seats run out, or why none is named; and the details."""
    if forecast is None:
        return "–", "no forecast: the service makes one a day from the known counts"
    record = forecast.record
    if record.seats is None:
        return "–", "the number of seats is not known: set it with `poller seats set`"
    if facts.seats_used is not None and facts.seats_used >= record.seats:
        return "now", "all seats are used"
    if record.exhausted_on is not None:
        low = day(record.exhausted_low, today)
        spread = f"after {low}" if record.exhausted_high is None else f"{low} to {day(record.exhausted_high, today)}"
        return day(record.exhausted_on, today), f"{spread} (80 %)"
    return "not in a year", _why_no_day(record.per_day, record.exhausted_low, today)


def _why_no_day(per_day: float, earliest: date | None, today: date) -> str:
    if per_day == 0:
        return "there is no trend, so no day is named"
    if earliest is not None:
        return f"{day(earliest, today)} at the earliest (80 %)"
    return f"{change(per_day * 30)} users a month"


def past_error_words(forecast: OrgPrediction) -> str:
    """How good such forecasts were on the past of this org."""
    record = forecast.record
    if record.backtest_error is None or not record.backtest_windows:
        return "the past is too short to test it"
    words = f"30 days ahead it was off by {record.backtest_error:.1f} of the usual monthly move"
    if record.backtest_coverage80 is not None:
        words += f", and {record.backtest_coverage80:.0%} of the truth lay inside the 80 % band"
    return f"{words} ({count(record.backtest_windows, 'test')} on its own past)"
