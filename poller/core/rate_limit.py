"""How often, how fast and how much of its credits one org may be asked: three limits, kept apart.

- **In flight**: the edition's number, of which we take a share, since the customer's other apps share it.
- **Spacing**: GCRA over one float, the time at which the next request is due if every one kept its distance. A 429
  holds the org and halves its rate; every good poll lets it climb back a step (AIMD).
- **Credits**: the edition's allowance of a rolling day, of which we take a share; where the interval asked for does
  not fit, it is stretched.

It refuses to wait, to look at a clock and to keep anything: times are seconds of one clock of the caller's (wall
clock, since a hold outlives a process), values go in, values come out. What an edition allows is from Zoho's "API
Limits"; the rate is ours, Zoho documents none.
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
"""Ten types, one credit each."""
DEFAULT_CREDIT_SHARE: Final = 0.10
DEFAULT_IN_FLIGHT_SHARE: Final = 0.5

FIRST_HOLD_SECONDS: Final = 60.0
LONGEST_HOLD_SECONDS: Final = 3_600.0
"""Holds of our own grow from the one to the other; Zoho's own Retry-After is taken at its word, up to a day."""
MIN_RATE_FACTOR: Final = 1 / 16
"""The lowest an org's rate falls: even then a free org's ten requests leave within 16 s."""
RECOVERY_STEP: Final = 1 / 8
CREDITS_READING_SECONDS: Final = 3_600.0
"""How long Zoho's word on the credits left is believed: for ever, and an org once low would never be asked again."""
_REQUESTS_PER_SECOND_IN_FLIGHT: Final = 5.0
"""The pace of requests of 200 ms, each followed by the next: a guess, and no limit until a 429 lowers it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What an edition allows an org: credits of a rolling day, and requests in flight per app."""

    paid_types: tuple[str, ...]
    in_flight: int
    base_credits: int
    credits_per_licence: int = 0
    most_credits: int | None = None

    def credits(self, licences: int | None) -> int:
        """The allowance of a rolling 24 hours; unknown licences count as none."""
        allowance = self.base_credits + self.credits_per_licence * max(licences or 0, 0)
        return allowance if self.most_credits is None else min(allowance, self.most_credits)


FREE: Final = Edition(("free",), 5, 5_000, most_credits=5_000)
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
"""By Zoho's `paid_type`."""


def edition_of(paid_type: str | None) -> Edition:
    """The edition of Zoho's `paid_type`, in any spelling ("CRM Plus"); one we do not know counts as free.

    Free is the most careful reading of the unknown: an org asked too seldom is told about in `orgs show`, one whose
    credits are gone has customers who cannot work.
    """
    return EDITIONS.get(_spelling(paid_type), FREE)


def is_known_edition(paid_type: str | None) -> bool:
    """Whether the limits of this `paid_type` are Zoho's, and not our careful guess."""
    return _spelling(paid_type) in EDITIONS


def daily_credits(paid_type: str | None, licences: int | None) -> int:
    """Credits of a rolling 24 hours, everything the customer runs included."""
    return edition_of(paid_type).credits(licences)


def affordable_interval(interval_seconds: int, daily_credits: int, credit_share: float, cost: int = 10) -> int:
    """The interval asked for where our share of the credits pays for it, else the shortest round one that it does.

    Round: a divisor of the day, of whole minutes from a minute up, so that slots fall on the same times every day. A
    free org at 10 % affords 50 polls a day: every 30 minutes. Never longer than a day, whatever the share.
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
    """Credits the poller may spend now: its share of the day less what it spent in the last 24 hours.

    `remaining` is Zoho's latest word (X-API-CREDITS-REMAINING) on what is left to everybody: while it is fresh we take
    no more than our share of that, so that the last credits are the customer's.
    """
    left = _share_of(daily_credits, credit_share) - spent
    if remaining is not None and remaining_age_seconds < CREDITS_READING_SECONDS:
        left = min(left, _share_of(remaining, credit_share))
    return max(left, 0)


class Limits(NamedTuple):
    """What holds for one org while nothing is wrong: requests in flight, requests per second, requests at once."""

    in_flight: int
    rate: float
    burst: int = REQUESTS_PER_POLL


def limits_of(paid_type: str | None, in_flight_share: float = DEFAULT_IN_FLIGHT_SHARE) -> Limits:
    """Our share (in (0, 1]) of what the edition allows in flight, at least one, and a rate to go with it."""
    in_flight = max(_share_of(edition_of(paid_type).in_flight, in_flight_share), 1)
    return Limits(in_flight, in_flight * _REQUESTS_PER_SECOND_IN_FLIGHT)


class RateLimitState(NamedTuple):
    """What an org's traffic so far has taught us; a new one knows nothing and lets everything within limits leave.

    `due_at`: GCRA's theoretical arrival time. `hold_until`: nothing leaves before. `holds`: how many in a row.
    `factor`: of the limits' rate and burst, in (0, 1]. The last three are worth keeping across restarts.
    """

    due_at: float = 0.0
    hold_until: float = 0.0
    holds: int = 0
    factor: float = 1.0


INITIAL: Final = RateLimitState()


def reserve(quota: RateLimitState, now: float, limits: Limits) -> tuple[RateLimitState, float]:
    """One request wants to leave at `now`: the quota after it and 0.0, or the same quota and the seconds to wait.

    No more than `burst` + `rate` * t requests leave in any t seconds.
    """
    due_at, hold_until, holds, factor = quota
    _, rate, burst = limits
    spacing = 1.0 / (rate * factor)
    # Once for every request, so without a call: `_allowance` and two of `max`.
    ahead = burst * factor - 1.0
    may_leave_at = due_at - ahead * spacing if ahead > 0.0 else due_at
    if may_leave_at < hold_until:  # noqa: PLR1730 - see above
        may_leave_at = hold_until
    if may_leave_at > now:
        return quota, may_leave_at - now
    begins_at = due_at if due_at > now else now  # noqa: FURB136 - see above
    # The constructor of a named tuple is a call within a call; this is the inner one.
    return tuple.__new__(RateLimitState, (begins_at + spacing, hold_until, holds, factor)), 0.0


def would_wait(quota: RateLimitState, now: float, limits: Limits, requests: int = 1) -> float:
    """Seconds until the last of so many requests could leave, if they all came now: nothing is reserved."""
    due_at, hold_until, _, factor = quota
    spacing = 1.0 / (limits.rate * factor)
    start = max(now, hold_until)
    last = max(due_at, start) + (requests - 1) * spacing - _allowance(limits, factor) * spacing
    return max(last, start) - now


def throttled(quota: RateLimitState, now: float, retry_after_seconds: float | None = None) -> RateLimitState:
    """After a 429: half the rate, and a hold as long as Zoho asked for, else a minute, doubled each time in a row.

    A 429 within a hold belongs to a request that left before it: it may lengthen the hold, but halves nothing twice.
    """
    if now < quota.hold_until:
        asked = now + min(retry_after_seconds or 0.0, DAY_SECONDS)
        return quota._replace(hold_until=max(quota.hold_until, asked))
    seconds = min(FIRST_HOLD_SECONDS * 2.0 ** min(quota.holds, 16), LONGEST_HOLD_SECONDS)
    if retry_after_seconds is not None:
        seconds = min(max(retry_after_seconds, 1.0), DAY_SECONDS)
    return RateLimitState(quota.due_at, now + seconds, quota.holds + 1, max(quota.factor / 2, MIN_RATE_FACTOR))


def recovered(quota: RateLimitState) -> RateLimitState:
    """After a poll without a 429: one step back towards the full rate, and the next hold is a first one again."""
    if quota.factor == 1.0 and not quota.holds:
        return quota
    return quota._replace(holds=0, factor=min(quota.factor + RECOVERY_STEP, 1.0))


def stricter_of(one: RateLimitState, other: RateLimitState) -> RateLimitState:
    """Two things known of one org as one: the later times, the lower rate."""
    return RateLimitState(
        max(one.due_at, other.due_at),
        max(one.hold_until, other.hold_until),
        max(one.holds, other.holds),
        min(one.factor, other.factor),
    )


def compact(quota: RateLimitState) -> RateLimitState:
    """The same in the fewest bytes, for keeping: a spacing that a hold outlasts decides nothing any more.

    And the rates an org can fall to from its full one, and climb to, are few: all orgs share those numbers.
    """
    due_at, hold_until, holds, factor = quota
    return RateLimitState(0.0 if due_at <= hold_until else due_at, hold_until, holds, _FACTORS.get(factor, factor))


def is_idle(quota: RateLimitState, now: float) -> bool:
    """Whether a new quota would decide the same from `now` on, so that this one may be forgotten."""
    return quota.factor == 1.0 and not quota.holds and quota.due_at <= now and quota.hold_until <= now


def _allowance(limits: Limits, factor: float) -> float:
    """How many requests may run ahead of their spacing: the burst less one, shrinking with the rate."""
    return max(limits.burst * factor - 1.0, 0.0)


def _share_of(whole: int, share: float) -> int:
    """Rounded down, but not by the last bit of a float: 0.29 of 100 is 29."""
    return int(round(whole * share, 6))


def _spelling(paid_type: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (paid_type or "").casefold())


_FACTORS: Final = {sixteenths / 16: sixteenths / 16 for sixteenths in range(1, 17)}
_ROUND_INTERVALS: Final = tuple(
    seconds
    for seconds in range(1, DAY_SECONDS + 1)
    if DAY_SECONDS % seconds == 0 and (seconds < 60 or seconds % 60 == 0)
)
