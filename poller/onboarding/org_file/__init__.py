"""Reads files of orgs; recognises CSV and JSON by their content.

A file is read as a stream, a JSON list as a whole; a byte order mark is skipped. No content raises an error: a wrong
row is a `BadRow` with its line and the reason, and no reason repeats a secret.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from poller.core.errors import UsageError
from poller.core.names import normal_name
from poller.core.org_entry import OrgEntry, entry_from
from poller.onboarding.org_file.csv_rows import csv_rows
from poller.onboarding.org_file.json_rows import json_document, json_lines
from poller.onboarding.org_file.lines import LONGEST_LINE, FileFormat, Lines, format_of
from poller.onboarding.org_file.rows import BadRow, BadRows, OrgRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["BadRow", "BadRows", "read_org_file", "read_orgs"]

STANDARD_INPUT: Final = "-"
_WORKBOOKS: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".numbers"})
_READERS: Final = {"csv": csv_rows, "jsonl": json_lines, "json": json_document}
_MOST_NAMES_OF_BAD_ROWS: Final = 1_000
"""After this many bad rows, only the names of good rows are kept, to find duplicate names."""


def read_org_file(
    path: Path, data_centers: Collection[str], defaults: Mapping[str, str] | None = None
) -> tuple[list[OrgEntry], BadRows]:
    """The orgs of the file up to the first bad row, and every bad row; `-` is standard input.

    `defaults`: fields for rows that leave them out. A `UsageError` if the file cannot be opened.
    """
    entries: list[OrgEntry] = []
    bad = BadRows()
    try:
        with _open(path) as stream:
            for row in read_orgs(stream, data_centers, defaults=defaults):
                if isinstance(row, BadRow):
                    bad.add(row)
                elif not bad:
                    entries.append(row)
    except OSError as refusal:
        raise UsageError(f"{path} cannot be read: {refusal.strerror}", "name a readable file") from refusal
    return entries, bad


def read_orgs(
    stream: BinaryIO,
    data_centers: Collection[str],
    file_format: FileFormat | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Iterator[OrgEntry | BadRow]:
    """The rows of `stream` one by one, each an org or a bad row. Raises only the errors of the stream."""
    lines = Lines(stream)
    try:
        rows = _READERS[file_format or format_of(lines)](lines)
        yield from _checked(rows, data_centers, defaults or {})
        if lines.too_long:
            yield BadRow(lines.number + 1, f"longer than {LONGEST_LINE} characters; nothing is read from here on")
    finally:
        lines.close()


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() in _WORKBOOKS:
        raise UsageError(f"{path.name} is neither .csv nor .jsonl", "name a file of text: save it as 'CSV UTF-8'")
    if str(path) == STANDARD_INPUT:
        # A descriptor of its own: what the caller closes is not the process's standard input.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return path.open("rb")


def _checked(
    rows: Iterator[OrgRow | BadRow], data_centers: Collection[str], defaults: Mapping[str, str]
) -> Iterator[OrgEntry | BadRow]:
    line_of: dict[str, int] = {}
    wrong = 0
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        written = {**defaults, **_given(row.written)} if defaults else row.written
        entry = entry_from(written, data_centers)
        reasons = row.reasons + ([*entry, *row.hints] if isinstance(entry, list) else [])
        if not reasons or wrong < _MOST_NAMES_OF_BAD_ROWS:
            name = written.get("name")
            if isinstance(name, str) and (name := normal_name(name)):
                if name in line_of:
                    reasons.append(f"the name is there already, in line {line_of[name]}")
                line_of.setdefault(name, row.line)
        wrong += bool(reasons)
        yield BadRow(row.line, "; ".join(reasons)) if reasons or isinstance(entry, list) else entry


def _given(written: Mapping[str, object]) -> dict[str, object]:
    return {field: value for field, value in written.items() if value is not None and value != ""}
