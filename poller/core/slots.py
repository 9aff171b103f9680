"""Slots: the interval of time that a poll belongs to, in absolute time, whatever the time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from poller.core.durations import parse_seconds

SHORTEST_INTERVAL_SECONDS: Final = 1
LONGEST_INTERVAL_SECONDS: Final = 86_400
_GOLDEN: Final = 2_654_435_769  # 2**32 divided by the golden ratio


def slot_of(at: datetime, interval_seconds: int) -> datetime:
    """The start (UTC) of the interval that `at` falls into: `floor(at / interval)`."""
    seconds = int(at.timestamp() // interval_seconds) * interval_seconds
    return datetime.fromtimestamp(seconds, UTC)


def phase_of(org_id: int, interval_seconds: int) -> float:
    """Seconds into its interval at which an org is polled: always the same, and spread evenly over the fleet.

    Fibonacci hashing: multiples of the golden ratio fill any stretch evenly, so that consecutive ids lie far apart and
    no part of the interval is crowded.
    """
    return (org_id * _GOLDEN % 2**32) / 2**32 * interval_seconds


def parse_interval(text: str) -> int:
    """Seconds of an interval from 1s to 1d, such as `15m`, or `900` for seconds; a `ValueError` says what is wrong."""
    seconds = parse_seconds(text, bare_unit="s")
    if not SHORTEST_INTERVAL_SECONDS <= seconds <= LONGEST_INTERVAL_SECONDS:
        raise ValueError(f"{text!r} is outside 1s to 1d")
    return seconds


def slots_between(start: datetime, end: datetime, interval_seconds: int) -> list[datetime]:
    """Every slot that begins in `[start, end)`."""
    step = timedelta(seconds=interval_seconds)
    slot = slot_of(start, interval_seconds)
    if slot < start:
        slot += step
    found = []
    while slot < end:
        found.append(slot)
        slot += step
    return found
