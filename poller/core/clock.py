"""Computes the offset between two clocks from readings over a connection.

The other clock was read after the request was sent and before the reply came, so each reading gives a lower and an
upper bound of the offset. Several readings together give closer bounds. All values are seconds; reads no clock itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOLERANCE_SECONDS: Final = 5.0
"""A worker whose clock differs from PostgreSQL's by more than this does not poll, and no row is further in the future.
NTP keeps machines within milliseconds of each other."""
DRIFT: Final = 0.001
"""Seconds per second that a clock may run too fast or too slow: ten times the error of quartz."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How many `seconds` the other clock is ahead, surely between `low` and `high`, according to a reading at `at`."""

    seconds: float
    low: float
    high: float
    at: float

    @property
    def doubt_seconds(self) -> float:
        """The largest possible error of `seconds`."""
        return max(self.seconds - self.low, self.high - self.seconds)


def after_reading(known: Offset | None, sent_at: float, theirs: float, received_at: float) -> Offset:
    """The offset after a reading: the other clock showed `theirs` between `sent_at` and `received_at` of this clock.

    The estimate changes only as far as the new bounds require, so that a slow reply does not make time jump.
    """
    low, high = theirs - received_at, theirs - sent_at
    if known is None:
        return Offset((low + high) / 2, low, high, received_at)
    drift = DRIFT * max(received_at - known.at, 0.0)
    closer = max(low, known.low - drift), min(high, known.high + drift)
    if closer[0] <= closer[1]:
        low, high = closer
    return Offset(min(max(known.seconds, low), high), low, high, received_at)


def certain_difference(ahead_seconds: float, doubt_seconds: float) -> float:
    """The difference between clocks if it surely exceeds the tolerance, else 0.0."""
    return ahead_seconds if abs(ahead_seconds) - doubt_seconds > TOLERANCE_SECONDS else 0.0


def describe_difference(ahead_seconds: float) -> str:
    """`this machine's clock is 7,200 s ahead of PostgreSQL's`."""
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return f"this machine's clock is {abs(ahead_seconds):,.0f} s {direction} PostgreSQL's"
