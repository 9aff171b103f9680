"""The rate limit of one org: when its next request may be sent, and what a 429 changes.

The spacing of requests is GCRA over one float, the theoretical arrival time of the next request. A 429 holds the org
and halves its rate; every poll without a 429 raises the rate by a step (AIMD).

Pure functions: never wait, read a clock or keep state. Times are seconds of one clock of the caller (the wall clock,
because a hold outlasts a process).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.durations import DAY_SECONDS

if TYPE_CHECKING:
    from poller.core.editions import Limits

FIRST_HOLD_SECONDS: Final = 60.0
MAX_HOLD_SECONDS: Final = 3_600.0
"""Without a Retry-After, holds grow from the first to the longest. A Retry-After applies as it is, up to a day."""
MIN_RATE_FACTOR: Final = 1 / 16
"""The lowest rate of an org; at this rate, the ten requests of an org with the free edition take 16 s."""
RECOVERY_STEP: Final = 1 / 8
_FACTORS: Final = {sixteenths / 16: sixteenths / 16 for sixteenths in range(1, 17)}
"""Every rate factor that halving and recovery can reach: one object each, for `compact`."""
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


def reserve(state: RateLimitState, now: float, limits: Limits) -> tuple[RateLimitState, float]:
    """Reserves one request at `now`: the new state and 0.0, or the unchanged state and the seconds to wait.

    In any t seconds, at most `burst` + `rate` * t requests are allowed.
    """
    due_at, hold_until, holds, rate_factor = state
    _, rate, burst = limits
    spacing = 1.0 / (rate * rate_factor)
    # `ahead`: how many requests may be sent ahead of their spacing: the burst minus one; it shrinks with the rate.
    # Runs for every request, so two calls of `max` are written out.
    ahead = burst * rate_factor - 1.0
    allowed_at = due_at - ahead * spacing if ahead > 0.0 else due_at
    if allowed_at < hold_until:  # noqa: PLR1730 - see above
        allowed_at = hold_until
    if allowed_at > now:
        return state, allowed_at - now
    starts_at = due_at if due_at > now else now  # noqa: FURB136 - see above
    # Calls `tuple.__new__` directly: a named tuple's constructor would only call it.
    return tuple.__new__(RateLimitState, (starts_at + spacing, hold_until, holds, rate_factor)), 0.0


def would_wait(state: RateLimitState, now: float, limits: Limits, requests: int = 1) -> float:
    """Seconds until the last of `requests` requests would be allowed, if all came now. Reserves nothing."""
    due_at, hold_until, _, rate_factor = state
    spacing = 1.0 / (limits.rate * rate_factor)
    ahead = limits.burst * rate_factor - 1.0
    # Runs for most requests, so calls of `max` are written out here too.
    start = hold_until if hold_until > now else now  # noqa: FURB136 - see above
    last = (due_at if due_at > start else start) + (requests - 1) * spacing  # noqa: FURB136 - see above
    if ahead > 0.0:
        last -= ahead * spacing
    return (last if last > start else start) - now  # noqa: FURB136 - see above


def throttled(state: RateLimitState, now: float, retry_after_seconds: float | None = None) -> RateLimitState:
    """The state after a 429: half the rate, and a hold of Retry-After, or of a minute, doubled each time in a row.

    A 429 during a hold is the reply to a request sent before the hold: it may lengthen the hold, but does not halve the
    rate again.
    """
    if now < state.hold_until:
        until = now + min(retry_after_seconds or 0.0, DAY_SECONDS)
        return state._replace(hold_until=max(state.hold_until, until))
    seconds = min(FIRST_HOLD_SECONDS * 2.0 ** min(state.holds, 16), MAX_HOLD_SECONDS)
    if retry_after_seconds is not None:
        seconds = min(max(retry_after_seconds, 1.0), DAY_SECONDS)
    return RateLimitState(state.due_at, now + seconds, state.holds + 1, max(state.rate_factor / 2, MIN_RATE_FACTOR))


def recovered(state: RateLimitState) -> RateLimitState:
    """The state after a poll without a 429: one step towards the full rate; the next hold is a first one again."""
    if state.rate_factor == 1.0 and not state.holds:
        return state
    return state._replace(holds=0, rate_factor=min(state.rate_factor + RECOVERY_STEP, 1.0))


def stricter_of(one: RateLimitState, other: RateLimitState) -> RateLimitState:
    """Merges two states of one org, taking the stricter value of each field."""
    return RateLimitState(
        max(one.due_at, other.due_at),
        max(one.hold_until, other.hold_until),
        max(one.holds, other.holds),
        min(one.rate_factor, other.rate_factor),
    )


def compact(state: RateLimitState) -> RateLimitState:
    """A copy that takes less memory: drops `due_at` if the hold ends later, because it then has no effect.

    All orgs with the same rate share one object for it.
    """
    due_at, hold_until, holds, factor = state
    return RateLimitState(PAST if due_at <= hold_until else due_at, hold_until, holds, _FACTORS.get(factor, factor))


def is_idle(state: RateLimitState, now: float) -> bool:
    """True if the initial state would decide the same from `now` on, so that this state can be dropped."""
    return state.rate_factor == 1.0 and not state.holds and state.due_at <= now and state.hold_until <= now
