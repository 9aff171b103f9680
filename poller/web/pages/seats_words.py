"""What the Seats page says about one org: what idle seats cost, how it grows, why a figure is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.web.pages.formats import change

if TYPE_CHECKING:
    from collections.abc import Mapping
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
