"""Writes rows as CSV or JSON, one line at a time, for millions of rows."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from poller.core.spreadsheet import cell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence


async def csv_lines(columns: Sequence[str], rows: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[str]:
    """Rows as CSV, one line at a time, column names first; text is safe to open in a spreadsheet."""
    yield ",".join(columns)
    async for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([cell(row[column]) for column in columns])
        yield line.getvalue()


async def json_lines(rows: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[str]:
    """Rows as one JSON list, one object per line."""
    line = "["
    async for row in rows:
        yield line if line == "[" else f"{line},"
        line = json_text(row)
    yield line
    yield "]"


async def json_objects(rows: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[str]:
    """Rows as JSON, one object per line."""
    async for row in rows:
        yield json_text(row)


def json_text(fields: Mapping[str, Any]) -> str:
    """One object on one line: letters unescaped, times in ISO 8601, terminal control characters escaped."""
    text = json.dumps(fields, ensure_ascii=False, default=_plain)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> str | float:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


_CONTROLS: Final = re.compile(r"[\x7f-\x9f]")
