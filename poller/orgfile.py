"""Files of orgs, `.csv` and `.jsonl`, as people and spreadsheets write them: entries, and every row that is wrong.

Read as a stream; a byte order mark, `;` and tabs between fields, and line breaks within quotes are taken as meant. It
refuses to raise for anything a file may hold: what is wrong is a `BadRow` with its line and reason, and no reason
repeats a secret.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from poller.core.entry import FIELDS, REQUIRED, OrgEntry, entry_from, normal_field, unknown_field
from poller.core.errors import UsageError
from poller.core.names import normal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

FileFormat = Literal["csv", "jsonl"]
_FORMATS: Final[Mapping[str, FileFormat]] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_LONGEST_LINE: Final = 1_000_000
_DELIMITERS: Final = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: the line it begins in, counted from 1, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"line {self.line}: {self.reason}"


def read_org_file(
    path: Path, data_centers: Collection[str], progress: Callable[[int], None] = lambda _bytes: None
) -> tuple[list[OrgEntry], list[BadRow]]:
    """Every org of the file, and every row that is wrong; `progress` hears how many bytes were read so far.

    A `UsageError` if the file cannot be opened or its name has no known ending.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UsageError(f"{path.name} is neither .csv nor .jsonl", "name the file by what it holds")
    entries: list[OrgEntry] = []
    bad: list[BadRow] = []
    try:
        with path.open("rb") as stream:
            for row in read_orgs(stream, file_format, data_centers):
                if isinstance(row, BadRow):
                    bad.append(row)
                else:
                    entries.append(row)
                progress(stream.tell())
    except OSError as refusal:
        raise UsageError(f"{path} cannot be read: {refusal.strerror}", "name a readable file") from refusal
    return entries, bad


def read_orgs(stream: BinaryIO, file_format: FileFormat, data_centers: Collection[str]) -> Iterator[OrgEntry | BadRow]:
    """The rows of `stream` one by one, each an org or what is wrong with it. Raises only what the stream does."""
    lines = _Lines(stream)
    try:
        yield from _judged(_csv_rows(lines) if file_format == "csv" else _json_rows(lines), data_centers)
        if lines.too_long:
            yield BadRow(lines.number + 1, f"longer than {_LONGEST_LINE} characters; nothing is read from here on")
    finally:
        lines.close()


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    written: Mapping[str, object]
    reasons: list[str]
    """What is wrong with its form; what is wrong with its content is judged later."""


def _judged(rows: Iterator[_Row | BadRow], data_centers: Collection[str]) -> Iterator[OrgEntry | BadRow]:
    line_of: dict[str, int] = {}
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        judged = entry_from(row.written, data_centers)
        reasons = row.reasons + (judged if isinstance(judged, list) else [])
        name = row.written.get("name")
        if isinstance(name, str) and (name := normal_name(name)):
            first = line_of.setdefault(name, row.line)
            if first != row.line:
                reasons.append(f"the name is there already, in line {first}")
        yield BadRow(row.line, "; ".join(reasons)) if reasons or isinstance(judged, list) else judged


class _Lines:
    """The lines of a file, with their numbers; what is not UTF-8 becomes lone surrogates, for the judge to find."""

    def __init__(self, stream: BinaryIO) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self.number = 0
        self.too_long = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_LINE)
        self.too_long = len(line) == _LONGEST_LINE
        if not line or self.too_long:
            raise StopIteration
        self.number += 1
        return line

    def close(self) -> None:
        """Leave the stream to whoever opened it."""
        self._text.detach()


def _csv_rows(lines: _Lines) -> Iterator[_Row | BadRow]:
    header, delimiter, bad = _header(lines)
    yield from bad
    if not header:
        return
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.number + 1
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as wrong:
            yield BadRow(line, _csv_reason(str(wrong)))
            continue
        if not "".join(fields).strip():
            continue
        if len(fields) < len(header) or "".join(fields[len(header) :]).strip():
            yield BadRow(line, f"it has {len(fields)} fields where the header names {len(header)}")
            continue
        yield _Row(line, dict(zip(header, fields, strict=False)), [])


def _header(lines: _Lines) -> tuple[list[str], str, list[BadRow]]:
    """The fields of the columns, what stands between them, and what is wrong; no fields: nothing can be read."""
    # Excel writes and reads a first line that names the delimiter: sep=;
    told = ""
    for line in lines:
        text = line.strip()
        if text[:4].lower() == "sep=" and len(text) == 5 and not told:
            told = text[4]
        elif text:
            break
    else:
        return [], "", [BadRow(1, "there is no header: the first line names the columns")]
    if _is_utf_16(line):
        return [], "", [_UTF_16]

    def split(delimiter: str) -> list[str]:
        try:
            # Spreadsheets end lines in empty columns.
            columns = line.rstrip(f"\r\n {delimiter}")
            return [normal_field(field) for field in next(csv.reader([columns], delimiter=delimiter))]
        except csv.Error:
            return []

    delimiter = told or max(_DELIMITERS, key=lambda one: len(set(split(one)) & set(FIELDS)))
    header = split(delimiter)
    if not set(header) & set(FIELDS):
        return [], "", [BadRow(lines.number, f"there is no header: the first line names columns such as {_EXAMPLE}")]
    reasons = [unknown_field(field) for field in header if field not in FIELDS]
    reasons += [f"column {field} is there twice" for field in FIELDS if header.count(field) > 1]
    missing = [field for field in REQUIRED if field not in header]
    reasons += [f"there is no column {field}" for field in missing]
    bad = [BadRow(lines.number, "; ".join(reasons))] if reasons else []
    return [] if missing else header, delimiter, bad


def _csv_reason(wrong: str) -> str:
    if "end of data" in wrong:
        return "a quote opened here is not closed"
    if "limit" in wrong:
        return "a field is far too long: is a quote opened here not closed?"
    return "a quote stands where none may: within quotes it is doubled"


def _json_rows(lines: _Lines) -> Iterator[_Row | BadRow]:
    for line in lines:
        if not line.strip():
            continue
        if lines.number == 1 and _is_utf_16(line):
            yield _UTF_16
            return
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except json.JSONDecodeError as wrong:
            yield BadRow(lines.number, f"it is not JSON: {wrong.msg} at column {wrong.colno}")
            continue
        except (ValueError, RecursionError):
            yield BadRow(lines.number, "it is not JSON that can be read: a number or a nesting is too large")
            continue
        if not isinstance(pairs, _Pairs):
            yield BadRow(lines.number, "it is not a JSON object: one line is one object")
            continue
        names = [normal_field(name) for name, _ in pairs]
        reasons = [unknown_field(name) for name in names if name not in FIELDS]
        reasons += [f"{field} is there twice" for field in FIELDS if names.count(field) > 1]
        yield _Row(lines.number, dict(zip(names, (value for _, value in pairs), strict=True)), reasons)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, double names and all."""


_EXAMPLE: Final = f"{','.join(REQUIRED)},refresh_token"
_UTF_16: Final = BadRow(1, "the file is UTF-16: save it as UTF-8 (in Excel: 'CSV UTF-8')")


def _is_utf_16(line: str) -> bool:
    return line.startswith(("\udcff\udcfe", "\udcfe\udcff"))
