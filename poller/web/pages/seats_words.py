"""What the Seats page says about one org: when its seats run out, what idle ones cost, why a figure is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.web.pages.formats import change, day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from decimal import Decimal

SHOWN: Final = (
    ("all", "all"),
    ("runs_out_30", "run out in 30 days"),
    ("runs_out_90", "run out in 90 days"),
    ("idle", "idle seats"),
    ("renews_90", "renew in 90 days"),
    ("unknown", "seats unknown"),
)
"""The choices of `show`, each in words."""
_DAILY: Final = "seats are read once a day; say what the contract says with `poller seats set`"


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


def remedy_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why seats are not known and what to do about it; None: they are known."""
    if row["code"] is not None:
        return row["code"], row["remedy"]
    if row["purchased"] is None:
        return "not read yet", _DAILY
    return ("used seats are not known", "they follow the first poll that is answered") if row["used"] is None else None


def growth(per_day: float) -> str:
    """The forecast change in 30 days: +9, or +0.4 where it is small."""
    moved = 30 * per_day
    return change(moved) if abs(moved) >= 10 else f"{moved:+.1f}".replace("-", "−")


def money(amount: Decimal | float | None, currency: str | None) -> str:
    """An amount with its currency: 1,240 EUR."""
    return "–" if amount is None else f"{amount:,.0f} {currency or ''}".rstrip()
