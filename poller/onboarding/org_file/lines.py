"""Reads the lines of a file as text, counts them, and recognises the format of the file."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

FileFormat = Literal["csv", "jsonl", "json"]
LONGEST_LINE: Final = 1_000_000
_WORKBOOKS: Final = ("PK\x03\x04", "\udcd0\udccf\x11")
"""The first bytes of .xlsx and .ods files, and of .xls files."""


class Lines:
    """The lines of a stream. Bytes that are not UTF-8 become lone surrogates, which the checks of fields find."""

    def __init__(self, stream: BinaryIO) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._unread: list[str] = []
        self.number = 0
        self.too_long = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._unread.pop() if self._unread else self._text.readline(LONGEST_LINE)
        self.too_long = len(line) == LONGEST_LINE
        if not line or self.too_long:
            raise StopIteration
        self.number += 1
        return line

    def beginning(self) -> list[str]:
        """The first two lines that are not blank, without consuming them."""
        read: list[str] = []
        found: list[str] = []
        while len(found) < 2 and (line := self._text.readline(LONGEST_LINE)):
            read.append(line)
            if line.strip():
                found.append(line.strip())
        self._unread = read[::-1]
        return found

    def rest(self, most: int) -> str | None:
        """The rest of the stream as one text; None if it is longer than `most` characters."""
        text = "".join(reversed(self._unread)) + self._text.read(most + 1)
        self._unread.clear()
        return None if len(text) > most else text

    def close(self) -> None:
        """Leaves the stream open for the caller, who opened it."""
        self._text.detach()


def format_of(lines: Lines) -> FileFormat:
    """The format of a file by its first lines: JSON if they begin with a bracket, else CSV."""
    first, second = [*lines.beginning(), "", ""][:2]
    if not first.startswith(("{", "[")):
        return "csv"
    if first.startswith("{") and second.startswith("{"):
        return "jsonl"
    try:
        return "jsonl" if isinstance(json.loads(first), dict) else "json"
    except (ValueError, RecursionError):
        return "json"


def unreadable(line: str) -> str | None:
    """Why a file with this first line cannot be read: it is not text, or not UTF-8."""
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        return "the file is UTF-16: save it as UTF-8 (in Excel: 'CSV UTF-8')"
    if line.startswith(_WORKBOOKS):
        return "the file is a workbook: save it as CSV (in Excel: 'CSV UTF-8')"
    return None
