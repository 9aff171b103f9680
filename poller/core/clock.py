"""How far apart two clocks are, from readings whose round trip took time.

A reading proves that the other clock's offset lies between two bounds: it was read after the question left and before
the answer came. Several readings together prove more than each alone. All values are seconds; nothing here reads a
clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOLERANCE_SECONDS: Final = 5.0
"""A machine whose clock differs from PostgreSQL's by more than this takes no part, and no row is later than that by
more. NTP keeps machines within milliseconds of each other."""
DRIFT: Final = 0.001
"""Seconds per second that a steady clock may run too fast or too slow: ten times what quartz does."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the other clock is ahead of ours: `seconds`, certainly between `low` and `high`, as known at `at`."""

    seconds: float
    low: float
    high: float
    at: float

    @property
    def doubt_seconds(self) -> float:
        """How wrong `seconds` may be."""
        return max(self.seconds - self.low, self.high - self.seconds)


def after_reading(known: Offset | None, sent_at: float, theirs: float, received_at: float) -> Offset:
    """The offset once the other clock showed `theirs` between our `sent_at` and `received_at`.

    The estimate moves only as far as the new reading requires, so that a slow answer does not make time jump.
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
    """The part of a difference between clocks that exceeds the tolerance for certain: 0.0, or the whole difference."""
    return ahead_seconds if abs(ahead_seconds) - doubt_seconds > TOLERANCE_SECONDS else 0.0


def describe_difference(ahead_seconds: float) -> str:
    """`this machine's clock is 7,200 s ahead of PostgreSQL's`."""
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return f"this machine's clock is {abs(ahead_seconds):,.0f} s {direction} PostgreSQL's"
