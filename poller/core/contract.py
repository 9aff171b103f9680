"""Reads an org's contract from text: number of seats, price per seat and month, currency and day of renewal.

Every function raises a `ValueError` whose message continues a sentence about the text: "is not a price …".
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

CONTRACT_COLUMNS: Final = ("purchased", "price", "currency", "renews_on")
_MOST: Final = 999_999_999


def parse_seats(text: str) -> int:
    """A number of seats."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MOST):
        raise ValueError("is not a number of seats")
    return int(text)


def parse_price(text: str) -> Decimal:
    """A price per seat and month."""
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(-1)
    if not (price.is_finite() and 0 <= price <= _MOST):
        raise ValueError("is not a price such as 20 or 19.90")
    return round(price, 4)


def parse_currency(text: str) -> str:
    """A currency of three letters, in upper case."""
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError("is not a currency of three letters such as EUR")
    return text.upper()


def parse_day(text: str) -> date:
    """A day in ISO 8601 format."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("is not a day such as 2027-01-31")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a day such as 2027-01-31") from None
