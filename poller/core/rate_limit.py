"""The three limits of one org: requests in flight, spacing of requests, and credits.

- **In flight**: a share of the edition's number, because the customer's other apps use the same allowance.
- **Spacing**: GCRA over one float, the theoretical arrival time of the next request. A 429 holds the org and halves its
  rate; every poll without a 429 raises the rate by a step (AIMD).
- **Credits**: a share of the edition's allowance for a rolling day. If an org's interval costs more than that, the
  interval is stretched.

Pure functions: never wait, read a clock or keep state. Times are seconds of one clock of the caller (the wall clock,
because a hold outlasts a process). The numbers of each edition are from Zoho's "API Limits"; the rate is the poller's
own, because Zoho documents none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.slots import LONGEST_INTERVAL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_SECONDS: Final = 86_400
REQUESTS_PER_POLL: Final = 10
"""Ten user types, one credit each."""
DEFAULT_IN_FLIGHT_SHARE: Final = 0.5

FIRST_HOLD_SECONDS: Final = 60.0
MAX_HOLD_SECONDS: Final = 3_600.0
"""Without a Retry-After, holds grow from the first to the longest. A Retry-After applies as it is, up to a day."""
MIN_RATE_FACTOR: Final = 1 / 16
"""The lowest rate of an org; at this rate, the ten requests of an org with the free edition take 16 s."""
RECOVERY_STEP: Final = 1 / 8
CREDITS_READING_SECONDS: Final = 3_600.0
"""How long the remaining credits that Zoho reported count. Without a limit, an org once low would never be polled."""
_REQUESTS_PER_SECOND_IN_FLIGHT: Final = 5.0
"""The rate of requests that take 200 ms and follow each other: a guess that limits nothing until a 429 lowers it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What an edition allows an org: credits per rolling day, and requests in flight per app."""

    paid_types: tuple[str, ...]
    in_flight: int
    base_credits: int
    credits_per_licence: int = 0
    max_credits: int | None = None

    def credits(self, licences: int | None) -> int:
        """The allowance for a rolling 24 hours; unknown licences count as 0."""
        allowance = self.base_credits + self.credits_per_licence * max(licences or 0, 0)
        return allowance if self.max_credits is None else min(allowance, self.max_credits)


FREE: Final = Edition(("free",), 5, 5_000, max_credits=5_000)
EDITIONS: Final[Mapping[str, Edition]] = {
    paid_type: edition
    for edition in (
        FREE,
        Edition(("standard", "starter"), 10, 50_000, 250, 100_000),
        Edition(("professional",), 15, 50_000, 500, 3_000_000),
        Edition(("enterprise", "zohooneenterprise"), 20, 50_000, 1_000, 5_000_000),
        Edition(("ultimate", "crmplus"), 25, 50_000, 2_000),
    )
    for paid_type in edition.paid_types
}
"""Editions by Zoho's `paid_type`."""


def edition_of(paid_type: str | None) -> Edition:
    """The edition of Zoho's `paid_type`, in any spelling ("CRM Plus"); an unknown one counts as free.

    Free is the safest assumption: `orgs show` reports an org that is polled too rarely, but an org without credits has
    users who cannot work.
    """
    return EDITIONS.get(_spelling(paid_type), FREE)


def is_known_edition(paid_type: str | None) -> bool:
    """True if the limits of this `paid_type` are Zoho's numbers, not those of the free edition as an assumption."""
    return _spelling(paid_type) in EDITIONS


def daily_credits(paid_type: str | None, licences: int | None) -> int:
    """The credits of an org for a rolling 24 hours, shared by all of the customer's apps."""
    return edition_of(paid_type).credits(licences)


def affordable_interval(interval_seconds: int, daily_credits: int, credit_share: float, cost: int = 10) -> int:
    """`interval_seconds` if the poller's share of the credits pays for it, else the shortest round interval that fits.

    Round means a divisor of the day, in whole minutes from one minute up, so that slots start at the same times every
    day. A free edition at 10 % pays for 50 polls a day: every 30 minutes. Never longer than a day.
    """
    polls = _share_of(daily_credits, credit_share) // cost
    if polls * interval_seconds >= DAY_SECONDS:
        return interval_seconds
    for seconds in _ROUND_INTERVALS:
        if seconds >= interval_seconds and polls * seconds >= DAY_SECONDS:
            return seconds
    return LONGEST_INTERVAL_SECONDS


def credits_to_spend(
    daily_credits: int,
    credit_share: float,
    spent: int,
    remaining: int | None = None,
    remaining_age_seconds: float = 0.0,
) -> int:
    """Credits the poller may spend now: its share of the day minus what it spent in the last 24 hours.

    `remaining` is what Zoho last reported for all apps together (X-API-CREDITS-REMAINING). While that is recent, the
    poller takes at most its share of those, so that the last credits stay with the customer.
    """
    left = _share_of(daily_credits, credit_share) - spent
    if remaining is not None and remaining_age_seconds < CREDITS_READING_SECONDS:
        left = min(left, _share_of(remaining, credit_share))
    return max(left, 0)


class Limits(NamedTuple):
    """The limits of one org in normal operation: requests in flight, requests per second, and requests in a burst."""

    in_flight: int
    rate: float
    burst: int = REQUESTS_PER_POLL


def limits_of(paid_type: str | None, in_flight_share: float = DEFAULT_IN_FLIGHT_SHARE) -> Limits:
    """The poller's share (in (0, 1]) of the edition's requests in flight, at least one, and the rate that fits it."""
    in_flight = max(_share_of(edition_of(paid_type).in_flight, in_flight_share), 1)
    return Limits(in_flight, in_flight * _REQUESTS_PER_SECOND_IN_FLIGHT)


PAST: Final = 0.0
"""A time before all others: nothing is due or held. Not None, because every request compares these times."""


class RateLimitState(NamedTuple):
    """What the poller has learned from an org's replies; the initial state allows everything within the limits.

    `due_at`: GCRA's theoretical arrival time. `hold_until`: no request is sent before. `holds`: how many holds in a
    row. `rate_factor`: applies to the limits' rate and burst, in (0, 1]. The last three are kept across restarts.
    """

    due_at: float = PAST
    hold_until: float = PAST
    holds: int = 0
    rate_factor: float = 1.0


INITIAL: Final = RateLimitState()


def reserve(quota: RateLimitState, now: float, limits: Limits) -> tuple[RateLimitState, float]:
    """Reserves one request at `now`: the new state and 0.0, or the unchanged state and the seconds to wait.

    In any t seconds, at most `burst` + `rate` * t requests are allowed.
    """
    due_at, hold_until, holds, rate_factor = quota
    _, rate, burst = limits
    spacing = 1.0 / (rate * rate_factor)
    # Runs for every request, so `_burst_tolerance` and two calls of `max` are written out.
    ahead = burst * rate_factor - 1.0
    allowed_at = due_at - ahead * spacing if ahead > 0.0 else due_at
    if allowed_at < hold_until:  # noqa: PLR1730 - see above
        allowed_at = hold_until
    if allowed_at > now:
        return quota, allowed_at - now
    starts_at = due_at if due_at > now else now  # noqa: FURB136 - see above
    # Calls `tuple.__new__` directly: a named tuple's constructor would only call it.
    return tuple.__new__(RateLimitState, (starts_at + spacing, hold_until, holds, rate_factor)), 0.0


def would_wait(quota: RateLimitState, now: float, limits: Limits, requests: int = 1) -> float:
    """Seconds until the last of `requests` requests would be allowed, if all came now. Reserves nothing."""
    due_at, hold_until, _, rate_factor = quota
    spacing = 1.0 / (limits.rate * rate_factor)
    start = max(now, hold_until)
    last = max(due_at, start) + (requests - 1) * spacing - _burst_tolerance(limits, rate_factor) * spacing
    return max(last, start) - now


def throttled(quota: RateLimitState, now: float, retry_after_seconds: float | None = None) -> RateLimitState:
    """The state after a 429: half the rate, and a hold of Retry-After, or of a minute, doubled each time in a row.

    A 429 during a hold is the reply to a request sent before the hold: it may lengthen the hold, but does not halve the
    rate again.
    """
    if now < quota.hold_until:
        until = now + min(retry_after_seconds or 0.0, DAY_SECONDS)
        return quota._replace(hold_until=max(quota.hold_until, until))
    seconds = min(FIRST_HOLD_SECONDS * 2.0 ** min(quota.holds, 16), MAX_HOLD_SECONDS)
    if retry_after_seconds is not None:
        seconds = min(max(retry_after_seconds, 1.0), DAY_SECONDS)
    return RateLimitState(quota.due_at, now + seconds, quota.holds + 1, max(quota.rate_factor / 2, MIN_RATE_FACTOR))


def recovered(quota: RateLimitState) -> RateLimitState:
    """The state after a poll without a 429: one step towards the full rate; the next hold is a first one again."""
    if quota.rate_factor == 1.0 and not quota.holds:
        return quota
    return quota._replace(holds=0, rate_factor=min(quota.rate_factor + RECOVERY_STEP, 1.0))


def stricter_of(one: RateLimitState, other: RateLimitState) -> RateLimitState:
    """Merges two states of one org, taking the stricter value of each field."""
    return RateLimitState(
        max(one.due_at, other.due_at),
        max(one.hold_until, other.hold_until),
        max(one.holds, other.holds),
        min(one.rate_factor, other.rate_factor),
    )


def compact(quota: RateLimitState) -> RateLimitState:
    """A copy that takes less memory: drops `due_at` if the hold ends later, because it then has no effect.

    An org's rate can only have a few values, so all orgs share the objects of these numbers.
    """
    due_at, hold_until, holds, factor = quota
    return RateLimitState(PAST if due_at <= hold_until else due_at, hold_until, holds, _FACTORS.get(factor, factor))


def is_idle(quota: RateLimitState, now: float) -> bool:
    """True if the initial state would decide the same from `now` on, so that this state can be dropped."""
    return quota.rate_factor == 1.0 and not quota.holds and quota.due_at <= now and quota.hold_until <= now


def _burst_tolerance(limits: Limits, rate_factor: float) -> float:
    """How many requests may be sent ahead of their spacing: the burst minus one; it shrinks with the rate."""
    return max(limits.burst * rate_factor - 1.0, 0.0)


def _share_of(whole: int, share: float) -> int:
    """Rounded down, but without the error of floats: 0.29 of 100 is 29."""
    return int(round(whole * share, 6))


def _spelling(paid_type: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (paid_type or "").casefold())


_FACTORS: Final = {sixteenths / 16: sixteenths / 16 for sixteenths in range(1, 17)}
_ROUND_INTERVALS: Final = tuple(
    seconds
    for seconds in range(1, DAY_SECONDS + 1)
    if DAY_SECONDS % seconds == 0 and (seconds < 60 or seconds % 60 == 0)
)
