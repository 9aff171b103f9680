"""Orgs in CSV as spreadsheets write it: `,` `;` or tabs between fields, line breaks within quotes, `sep=;` first."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from poller.core.org_entry import FIELDS, REQUIRED, normal_field
from poller.onboarding.org_file.lines import unreadable
from poller.onboarding.org_file.rows import BadRow, OrgRow, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.onboarding.org_file.lines import Lines

_DELIMITERS: Final = (",", ";", "\t")
_EXAMPLE: Final = f"{','.join(REQUIRED)},refresh_token"


def csv_rows(lines: Lines) -> Iterator[OrgRow | BadRow]:
    """The rows below the header; a wrong header is a bad row as well."""
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
            yield BadRow(line, _reason(str(wrong)))
            continue
        if not "".join(fields).strip():
            continue
        if len(fields) < len(header) or "".join(fields[len(header) :]).strip():
            yield BadRow(line, f"it has {len(fields)} fields where the header names {len(header)}")
            continue
        yield OrgRow(line, dict(zip(header, fields, strict=False)), [])


def _header(lines: Lines) -> tuple[list[str], str, list[BadRow]]:
    """The fields of the columns, the delimiter, and what is wrong; no fields: the file cannot be read."""
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
    if reason := unreadable(line):
        return [], "", [BadRow(lines.number, reason)]
    delimiter = told or max(_DELIMITERS, key=lambda one: len(set(_split(line, one)) & set(FIELDS)))
    header = _split(line, delimiter)
    if not set(header) & set(FIELDS):
        return [], "", [BadRow(lines.number, f"there is no header: the first line names columns such as {_EXAMPLE}")]
    reasons = unknown_fields(header)
    reasons += [f"column {field} is there twice" for field in FIELDS if header.count(field) > 1]
    missing = [field for field in REQUIRED if field not in header]
    reasons += [f"there is no column {field}" for field in missing]
    bad = [BadRow(lines.number, "; ".join(reasons))] if reasons else []
    return [] if missing else header, delimiter, bad


def _split(line: str, delimiter: str) -> list[str]:
    try:
        # Spreadsheets end lines in empty columns.
        columns = line.rstrip(f"\r\n {delimiter}")
        return [normal_field(field) for field in next(csv.reader([columns], delimiter=delimiter))]
    except csv.Error:
        return []


def _reason(wrong: str) -> str:
    if "end of data" in wrong:
        return "a quote opened here is not closed"
    if "limit" in wrong:
        return "a field is far too long: is a quote opened here not closed?"
    return "a quotation mark inside a quoted field must be doubled"
