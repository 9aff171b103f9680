"""Numbers, changes, days, sizes and ages: the one way they are written for people. Unknown is "–", never 0 or blank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import date, timedelta

UNKNOWN: Final = "–"
MINUS: Final = "−"  # as wide as a plus
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def number(value: float | None) -> str:
    """A whole number with commas: 1,373,335."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace("-", MINUS)


def change(value: float | None) -> str:
    """A difference with its sign: +12, −10, +0."""
    return UNKNOWN if value is None else f"{value:+,.0f}".replace("-", MINUS)


def percent(part: float | None, whole: float | None) -> str:
    """A share in whole percent; 100 % only where nothing is missing."""
    if part is None or not whole:
        return UNKNOWN
    share = 100 * part / whole
    shown = 99 if part < whole and share > 99 else 1 if part > 0 and share < 1 else round(share)
    return f"{shown} %"


def day(on: date | None, today: date | None = None) -> str:
    """A day: 4 Feb, with the year where it is not that of `today`: 4 Feb 2027."""
    if on is None:
        return UNKNOWN
    is_this_year = today is not None and on.year == today.year
    return f"{on.day} {MONTHS[on.month - 1][:3]}" + ("" if is_this_year else f" {on.year}")


def count(number: int, thing: str, things: str | None = None) -> str:
    """`1 org`, `1,200 orgs`; `things` where the plural is not an added s."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {things or f'{thing}s'}"


def age_of(span: timedelta, space: str = "") -> str:
    """A length of time in its largest unit of which there are two: `90s`, `15m`, `36h`, `12d`.

    `space`: what stands before the unit; pages write `15 m`.
    """
    seconds = max(int(span.total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,}{space}{unit}"
    return f"{seconds}{space}s"


def size_of(number: int) -> str:
    """A number of bytes: `12 kB`, `3.4 MB`."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1_000:.0f} kB"


def figure_words(value: float) -> str:
    """A value of a rule's metric: 96.7, or 2,350."""
    return f"{value:,.1f}".removesuffix(".0")
