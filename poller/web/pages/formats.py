"""How numbers, changes, ages and days are written on pages. Unknown is "–", never 0 and never blank."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from poller.core.durations import DAY_SECONDS, format_duration
from poller.core.quantities import MINUS, UNKNOWN, change, count, day, number, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "FILTERS",
    "UNKNOWN",
    "change",
    "clock",
    "day",
    "interval",
    "iso",
    "marked",
    "moment",
    "number",
    "percent",
    "short",
    "span",
]

_COMMAND: Final = re.compile(r"`([^`]+)`")
_MINUTE: Final = 60
_HOUR: Final = 3_600


def short(value: float | None) -> str:
    """A large number in three digits: 1.37 M, 24.5 k."""
    if value is None:
        return UNKNOWN
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if abs(value) >= 10 * size or (unit == "M" and abs(value) >= size):
            scaled = value / size
            return f"{scaled:.{2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0}f} {unit}".replace("-", MINUS)
    return number(value)


def span(seconds: float) -> str:
    """A length of time in its largest unit: 8 s, 4 m, 5 h, 3 d."""
    seconds = max(seconds, 0)
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} m"
    if seconds < 2 * DAY_SECONDS:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // DAY_SECONDS:.0f} d"


def interval(seconds: int) -> str:
    """A length of time that is written exactly: 90 s, 15 m, 1 h."""
    text = format_duration(seconds)
    return f"{text[:-1]} {text[-1]}"


def clock(at: datetime) -> str:
    """The time of day in UTC: 14:32:08."""
    return at.astimezone(UTC).strftime("%H:%M:%S")


def moment(at: datetime, today: date | None = None) -> str:
    """Day and time in UTC: 27 Nov 14:32 UTC, with the year where it is not this one."""
    at = at.astimezone(UTC)
    return f"{day(at.date(), today or datetime.now(UTC).date())} {at:%H:%M} UTC"


def iso(at: datetime) -> str:
    """For the `datetime` attribute: 2026-11-27T14:32:08Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def marked(text: str) -> Markup:
    """The text with what stands between backticks, such as a command, set as code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "number": number,
    "change": change,
    "short": short,
    "count": count,
    "span": span,
    "interval": interval,
    "clock": clock,
    "moment": moment,
    "iso": iso,
    "day": day,
    "marked": marked,
}
