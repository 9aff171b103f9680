"""Orgs in JSON: one object per line, one list of objects, or objects in sequence with line breaks anywhere.

A row of Zoho's `self_client.json` (the download of the API console) is taken as an org without name and data centre.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from poller.core.org_entry import FIELDS, normal_field
from poller.onboarding.org_file.lines import unreadable
from poller.onboarding.org_file.rows import BadRow, OrgRow, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.onboarding.org_file.lines import Lines

_LARGEST_DOCUMENT: Final = 100_000_000
_SELF_CLIENT: Final = frozenset({"client_id", "client_secret", "code", "grant_type"})
_UNUSED: Final = frozenset({"scope", "expiry_time", "grant_type"})
_SELF_CLIENT_HINT: Final = "a self_client.json names no org: add --name and --data-center"
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_TOO_MUCH: Final = "it is not JSON that can be read: a number or a nesting is too large"


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, with duplicate names."""


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs)


def json_lines(lines: Lines) -> Iterator[OrgRow | BadRow]:
    """The objects of a file with one object per line; a wrong line does not affect the others."""
    for line in lines:
        if not line.strip():
            continue
        if lines.number == 1 and (reason := unreadable(line)):
            yield BadRow(1, reason)
            return
        try:
            value = json.loads(line, object_pairs_hook=_Pairs)
        except json.JSONDecodeError as wrong:
            yield BadRow(lines.number, f"it is not JSON: {wrong.msg} at column {wrong.colno}")
            continue
        except (ValueError, RecursionError):
            yield BadRow(lines.number, _TOO_MUCH)
            continue
        yield _row(lines.number, value, "one line is one object")


def json_document(lines: Lines) -> Iterator[OrgRow | BadRow]:
    """The objects of a list or of a sequence; reading stops at the first text that is not JSON."""
    text = lines.rest(_LARGEST_DOCUMENT)
    if text is None:
        yield BadRow(1, f"the list is longer than {_LARGEST_DOCUMENT:,} characters: write one object per line")
        return
    line, counted = 1, 0
    try:
        for place, value in _values(text):
            line, counted = line + text.count("\n", counted, place), place
            yield _row(line, value, "write a list of objects")
    except json.JSONDecodeError as wrong:
        yield BadRow(wrong.lineno, f"it is not JSON: {wrong.msg} at column {wrong.colno}; nothing is read from here on")
    except (ValueError, RecursionError):
        yield BadRow(line, f"{_TOO_MUCH}; nothing is read from here on")


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """Every value of the document and where it begins; the items of a list one by one."""
    place = _next(text, 0)
    while place < len(text):
        if text[place] == "[":
            place = yield from _values_of_list(text, place)
        else:
            value, end = _DECODER.raw_decode(text, place)
            yield place, value
            place = end
        place = _next(text, place)
        if text[place : place + 1] == ",":
            place = _next(text, place + 1)


def _values_of_list(text: str, place: int) -> Any:
    place = _next(text, place + 1)
    if text[place : place + 1] == "]":
        return place + 1
    while True:
        value, end = _DECODER.raw_decode(text, place)
        yield place, value
        place = _next(text, end)
        if text[place : place + 1] == "]":
            return place + 1
        if text[place : place + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        place = _next(text, place + 1)


def _next(text: str, place: int) -> int:
    blanks = _BLANKS.match(text, place)
    return blanks.end() if blanks else place


def _row(line: int, pairs: Any, remedy: str) -> OrgRow | BadRow:
    if not isinstance(pairs, _Pairs):
        return BadRow(line, f"it is not a JSON object: {remedy}")
    fields = [(normal_field(name), value) for name, value in pairs]
    hints: tuple[str, ...] = ()
    if {name for name, _ in fields} >= _SELF_CLIENT:
        fields = [("grant_code" if name == "code" else name, value) for name, value in fields if name not in _UNUSED]
        hints = (_SELF_CLIENT_HINT,)
    names = [name for name, _ in fields]
    reasons = unknown_fields(names)
    reasons += [f"{field} is there twice" for field in FIELDS if names.count(field) > 1]
    return OrgRow(line, dict(fields), reasons, hints)
