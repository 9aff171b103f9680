"""Reads the secrets of `poller orgs add` from a terminal or a pipe, never from arguments.

No error repeats a value, because it may be a secret.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from poller.core.errors import UsageError
from poller.core.org_entry import FIELDS, normal_field, unknown_field

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROMPTS: Final = {"client_secret": "Client secret", "refresh_token": "Refresh token", "grant_code": "Grant code"}


def prompted(given: Mapping[str, str | None], grant: str) -> dict[str, str]:
    """Asks at the terminal for the fields that are missing; secrets are not echoed."""
    asked: dict[str, str] = {}
    for field, question in (("data_center", "Data centre (us, eu, …)"), ("client_id", "Client id")):
        if not given[field]:
            asked[field] = typer.prompt(question, err=True)
    for field in ("client_secret", grant):
        if field in _PROMPTS:
            asked[field] = typer.prompt(_PROMPTS[field], hide_input=True, err=True)
        elif not given[field]:
            asked[field] = typer.prompt("soid (ZohoCRM.<zgid>)", err=True)
    return asked


def piped(text: str) -> dict[str, Any]:
    """Fields from lines of KEY=VALUE, or from one JSON object such as `self_client.json` of Zoho's console.

    Blank lines and comments are skipped.
    """
    if text.lstrip().startswith("{"):
        return _fields_of_json(text)
    fields: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        field = normal_field(key)
        if not equals:
            _refuse(number, "it is not KEY=VALUE")
        if field not in FIELDS:
            _refuse(number, unknown_field(key.strip()).replace("column", "field"))
        fields[field] = value.strip()
    return fields


def _fields_of_json(text: str) -> dict[str, Any]:
    from poller.onboarding.org_file.json_rows import json_document
    from poller.onboarding.org_file.lines import Lines
    from poller.onboarding.org_file.rows import OrgRow

    rows = list(json_document(Lines(io.BytesIO(text.encode(errors="surrogateescape")))))
    if len(rows) > 1:
        raise UsageError("standard input holds more than one org", "use `poller orgs import -` for several")
    (row,) = rows
    if not isinstance(row, OrgRow):
        _refuse(row.line, row.reason)
    if row.reasons:
        _refuse(row.line, "; ".join(row.reasons))
    return dict(row.written)


def _refuse(line: int, reason: str) -> NoReturn:
    raise UsageError(f"line {line} of standard input: {reason}", "write lines such as client_secret=…")
