"""HTML that Python writes: the rows of long tables, where a template would take three times as long.

Every function takes text as it is and escapes it; nothing else reaches a page.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from poller.web.pages.formats import iso

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["code_marked", "escape", "reason_unknown", "time_element"]


def reason_unknown(reason: str) -> str:
    """A dash with the reason why there is no value."""
    return f'<abbr class="unknown" title="{escape(reason)}">–</abbr>'


def code_marked(text: str) -> str:
    """The text, with `commands` between backticks as code."""
    if "`" not in text:
        return escape(text)
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def time_element(at: datetime, age: str) -> str:
    """An age, which the script in the page keeps right."""
    return f'<time datetime="{iso(at)}" data-show="age">{age}</time>'
