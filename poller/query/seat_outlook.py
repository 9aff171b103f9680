"""When the seats of an org run out, in words, with the range of the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.core.quantities import day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


@dataclass(frozen=True, slots=True)
class Outlook:
    """When seats run out: in words, with the range, and as a class for its colour."""

    words: str
    range: str = ""
    kind: str = "none"
    reason: str = ""


def outlook(row: Mapping[str, Any], today: date) -> Outlook:
    """When the seats of an org run out, or why no day is named."""
    purchased, used, on = row["purchased"], row["used"], row["exhausted_on"]
    if purchased is None or used is None:
        return Outlook("–", reason="the seats are not known", kind="unknown")
    if used >= purchased:
        return Outlook("all in use" if used == purchased else f"{used - purchased:,} too few", kind="full")
    if row["made_at"] is None:
        return Outlook("–", reason="no forecast yet: it needs some weeks of known counts", kind="unknown")
    if on is None:
        return Outlook("no trend" if row["per_day"] == 0 else "not within a year")
    if on <= today:
        return Outlook("any day now", kind="soon")
    days = (on - today).days
    return Outlook(day(on, today), _range(row, today), "soon" if days < 30 else "later")


def _range(row: Mapping[str, Any], today: date) -> str:
    """The 80 % range of the day."""
    low, high = row["exhausted_low"], row["exhausted_high"]
    if low is None:
        return ""
    first = day(low, today) if low > today else "now"
    return f"{first} – {day(high, today)}" if high is not None else f"from {first} on"
