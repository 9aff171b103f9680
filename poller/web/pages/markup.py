"""HTML that Python writes: the rows of long tables, where a template would take three times as long.

Every function takes text as it is and escapes it; nothing else reaches a page.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from poller.web.pages.formats import iso, number

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["escape", "reason_unknown", "seats_bar", "time_element"]

_FULL: Final = 0.95
"""Share of used seats from which on few are left."""


def reason_unknown(reason: str) -> str:
    """A dash with the reason why there is no value."""
    return f'<abbr class="unknown" title="{escape(reason)}">–</abbr>'


def time_element(at: datetime, age: str) -> str:
    """An age, which the script in the page keeps right."""
    return f'<time datetime="{iso(at)}" data-show="age">{age}</time>'


def seats_bar(used: int | None, purchased: int, attributes: str) -> str:
    """The number of seats, after a bar of those in use: red where few are left. `attributes`: for screen readers."""
    if used is None:
        return number(purchased)
    full = " full" if used >= _FULL * purchased else ""
    share = min(round(100 * used / purchased), 100) if purchased else 100
    return (
        f'<svg class="bar{full}" viewBox="0 0 100 1" preserveAspectRatio="none" {attributes}>'
        f'<rect width="{share}" height="1"/></svg>{number(purchased)}'
    )
