"""Credits of an org: the interval that its share of credits pays for, and the credits that may be spent now.

The poller takes a share of the edition's credits for a rolling day. An org whose interval costs more than that gets a
longer interval.
"""

from __future__ import annotations

from typing import Final

from poller.core.durations import DAY_SECONDS
from poller.core.editions import share_of
from poller.core.slots import LONGEST_INTERVAL_SECONDS

CREDITS_READING_SECONDS: Final = 3_600.0
"""How long the remaining credits that Zoho reported count. Without a limit, an org once low would never be polled."""
_ROUND_INTERVALS: Final = tuple(
    seconds
    for seconds in range(1, DAY_SECONDS + 1)
    if DAY_SECONDS % seconds == 0 and (seconds < 60 or seconds % 60 == 0)
)


def affordable_interval(interval_seconds: int, daily_credits: int, credit_share: float, cost: int = 10) -> int:
    """`interval_seconds` if the poller's share of the credits pays for it, else the shortest round interval that fits.

    Round means a divisor of the day, in whole minutes from one minute up, so that slots start at the same times every
    day. A free edition at 10 % pays for 50 polls a day: every 30 minutes. Never longer than a day.
    """
    polls = share_of(daily_credits, credit_share) // cost
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
    left = share_of(daily_credits, credit_share) - spent
    if remaining is not None and remaining_age_seconds < CREDITS_READING_SECONDS:
        left = min(left, share_of(remaining, credit_share))
    return max(left, 0)
