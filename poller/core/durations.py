"""The one way durations are written: a number and a unit, such as 90s, 15m, 1h, 1d, 12w, 6mo or 1y.

Settings, options, import files and the API all read durations here, each within its own bounds. As a number of seconds
a month is 30 days and a year 365; a retention counts calendar months and years instead.
"""

from __future__ import annotations

import re
from typing import Final

DAY_SECONDS: Final = 86_400
EXAMPLES: Final = "write 15m, 1h, 1d, 12w or 1y"
_UNIT_SECONDS: Final = {
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": DAY_SECONDS,
    "w": 7 * DAY_SECONDS,
    "mo": 30 * DAY_SECONDS,
    "y": 365 * DAY_SECONDS,
}
_DURATION: Final = re.compile(r"\s*([0-9]{1,9})\s*(s|mo|m|h|d|w|y)\s*", re.IGNORECASE)
_BARE_NUMBER: Final = re.compile(r"\s*[0-9]{1,9}\s*")


def parse_duration(text: str) -> tuple[int, str]:
    """The number and the unit in `text`; a `ValueError` where it is not a duration, or 0."""
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is not a duration: {EXAMPLES}")
    return int(match[1]), match[2].lower()


def parse_seconds(text: str, *, bare_unit: str | None = None) -> int:
    """The seconds of a duration. `bare_unit`: the unit of a number without one, which is an error otherwise."""
    if bare_unit is not None and _BARE_NUMBER.fullmatch(text):
        text = text.strip() + bare_unit
    number, unit = parse_duration(text)
    return number * _UNIT_SECONDS[unit]


def format_duration(seconds: int) -> str:
    """The shortest spelling in days, hours, minutes or seconds that is exact: 900 is `15m`."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNIT_SECONDS[unit] == 0:
            return f"{seconds // _UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"
