"""Colours of verdicts, such as `ok`, `failing` and `critical`, where the output can show colours."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_GREEN: Final = "32"
_YELLOW: Final = "33"
_RED: Final = "31"
_BOLD_RED: Final = "1;31"
_WORDS: Final = {
    _GREEN: "ok OK active resolved encrypts",
    _YELLOW: "late held partial throttled missed pending acknowledged snoozed warning unknown expired stretched",
    _RED: (
        "failing parked unauthorized forbidden rejected unavailable malformed"
        " firing wrong fault missing revoked unusable"
    ),
    _BOLD_RED: "critical",
}
_STYLES: Final = {"not checked": _YELLOW} | {word: style for style, words in _WORDS.items() for word in words.split()}
_FIRST_WORD: Final = re.compile(r"[\w-]+")
_COLOUR: Final = re.compile(r"\x1b\[[\d;]*m")


def shows_colours(stream: TextIO) -> bool:
    """Whether to colour what is written to `stream`: on a terminal, or anywhere if `FORCE_COLOR` is set.

    `NO_COLOR` (https://no-color.org) and the terminal `dumb` turn colours off.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def coloured(text: str, verdict: str) -> str:
    """The text in the colour of the verdict, which it is or begins with; blanks around it are not coloured."""
    inner, style = text.strip(), _style(verdict)
    return text if style is None else text.replace(inner, f"\x1b[{style}m{inner}\x1b[0m", 1)


def with_coloured(line: str, verdict: str) -> str:
    """The line with its verdict coloured: at the end of the line, else where the word is first."""
    style = _style(verdict)
    if style is None:
        return line
    found = re.search(rf"(?<!\w){re.escape(verdict)}$", line) or re.search(rf"\b{re.escape(verdict)}\b", line)
    if found is None:
        return line
    return f"{line[: found.start()]}\x1b[{style}m{verdict}\x1b[0m{line[found.end() :]}"


def without_colours(text: str) -> str:
    """The text alone."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


def _style(text: str) -> str | None:
    word = _FIRST_WORD.match(text)
    return _STYLES.get(text) or (_STYLES.get(word[0]) if word else None)
