"""Slots: the stretch of time a poll belongs to, pinned to absolute time: restarts and time zones change nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SHORTEST_INTERVAL_SECONDS: Final = 1
LONGEST_INTERVAL_SECONDS: Final = 86_400
_GOLDEN: Final = 2_654_435_769  # 2**32 divided by the golden ratio
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def slot_of(at: datetime, interval_seconds: int) -> datetime:
    """The start (UTC) of the interval that `at` falls into: `floor(at / interval)`."""
    seconds = int(at.timestamp() // interval_seconds) * interval_seconds
    return datetime.fromtimestamp(seconds, UTC)


def phase_of(org_id: int, interval_seconds: int) -> float:
    """Seconds into its interval at which an org is polled: the same for ever, and spread evenly over the fleet.

    Fibonacci hashing: multiples of the golden ratio fill any stretch evenly, so that consecutive ids lie far apart and
    no part of the interval is crowded.
    """
    return (org_id * _GOLDEN % 2**32) / 2**32 * interval_seconds


def parse_interval(text: str) -> int:
    """Seconds in `900`, `90s`, `15m`, `1h` or `1d`; a `ValueError` says what is wrong in words for a person."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhd]?)\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: use seconds, or 90s, 15m, 1h")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not SHORTEST_INTERVAL_SECONDS <= seconds <= LONGEST_INTERVAL_SECONDS:
        raise ValueError(f"{text!r} is outside 1s to 1d")
    return seconds


def format_interval(seconds: int) -> str:
    """The shortest spelling `parse_interval` reads back: 900 → `15m`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


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
