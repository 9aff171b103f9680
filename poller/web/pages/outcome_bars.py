"""The stacked bars of outcomes by hour, as rectangles of an SVG that is made on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.query.slot_hours import SlotHour

WIDTH: Final = 30
"""Units from one bar to the next."""
BAR: Final = 24
HEIGHT: Final = 120
LEAST: Final = 3
"""Units that an outcome has at least, so that one failure among thousands of polls can be seen."""
STACK: Final = (*(outcome for outcome in Outcome if outcome is not Outcome.OK), Outcome.OK)
"""From top to bottom."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One outcome in one bar."""

    outcome: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: where its bar begins, its pieces, and the same in words."""

    at: datetime
    left: int
    pieces: Sequence[Piece]
    words: str


def outcome_bars(hours: Sequence[SlotHour]) -> list[Bar]:
    """A bar for each hour; all have the scale of the hour with the most slots."""
    most = max((hour.slots for hour in hours), default=0)
    return [Bar(hour.at, place * WIDTH, list(_pieces(hour, most)), words(hour)) for place, hour in enumerate(hours)]


def words(hour: SlotHour) -> str:
    """How many slots the hour has, and how many of each outcome."""
    if not hour.slots:
        return "no slot has a row"
    parts = [f"{slots:,} {outcome}" for outcome, slots in hour.outcomes.items()]
    return f"{hour.slots:,} slots: {', '.join(parts)}"


def _pieces(hour: SlotHour, most: int) -> Iterator[Piece]:
    """From the bottom up; the tallest piece gives what the small ones are drawn larger by."""
    found = [(outcome, hour.outcomes[outcome]) for outcome in reversed(STACK) if outcome in hour.outcomes]
    heights = {outcome: max(HEIGHT * slots / most, LEAST) for outcome, slots in found}
    excess = sum(heights.values()) - max(HEIGHT * hour.slots / most, LEAST) if found else 0.0
    if found:
        tallest = max(heights, key=lambda outcome: heights[outcome])
        heights[tallest] -= excess
    y = float(HEIGHT)
    for outcome, _ in found:
        y -= heights[outcome]
        yield Piece(outcome.value, round(y, 1), round(heights[outcome], 1))
