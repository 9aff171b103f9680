"""Writes a digest as plain text, at most 78 characters wide but for links."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.reports.digest.words import DigestGroup, DigestLine, DigestPage

_WIDTH: Final = 78
_FIGURE: Final = 11


def digest_text(page: DigestPage, web_origin: str | None) -> str:
    """The text, which ends with a line break."""
    return "\n".join(_lines(page, web_origin)) + "\n"


def _lines(page: DigestPage, origin: str | None) -> Iterator[str]:
    yield from (page.title, page.period, "")
    yield from _wrapped(page.summary, "", "")
    for section in page.sections:
        yield from ("", section.title.upper())
        if not section.groups:
            yield section.nothing
        for group in section.groups:
            yield from _group(group, origin)
    if origin is not None:
        yield from ("", f"{origin}/")


def _group(group: DigestGroup, origin: str | None) -> Iterator[str]:
    if group.intro:
        yield from _wrapped(group.intro, "", "  ")
    for line in group.lines:
        yield from _line(line)
    if group.more:
        link = "" if origin is None or group.more_path is None else f": {origin}{group.more_path}"
        yield f"{' ' * (_FIGURE + 2)}{group.more}{link}"


def _line(line: DigestLine) -> Iterator[str]:
    later = " " * (_FIGURE + 2)
    yield from _wrapped(f"{line.name}: {line.text}" if line.text else line.name, f"{line.figure:>{_FIGURE}}  ", later)
    if line.remedy:
        yield from _wrapped(f"→ {line.remedy}", later, f"{later}  ")


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
