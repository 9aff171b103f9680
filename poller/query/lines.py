"""Rows as text, a line at a time: there may be millions of them."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, Final

from poller.core.spreadsheet import cell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence


async def csv_lines(columns: Sequence[str], rows: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[str]:
    """Rows as CSV, a line at a time, the names of the columns first; text is safe to open in a spreadsheet."""
    yield ",".join(columns)
    async for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([cell(row[column]) for column in columns])
        yield line.getvalue()


async def json_lines(rows: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[str]:
    """Rows as one JSON list, an object a line."""
    line = "["
    async for row in rows:
        yield line if line == "[" else f"{line},"
        line = json.dumps(row, ensure_ascii=False)
    yield line
    yield "]"


def json_text(fields: Mapping[str, Any]) -> str:
    """One object on one line, letters as they are; what a terminal would obey is escaped."""
    text = json.dumps(fields, ensure_ascii=False)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_CONTROLS: Final = re.compile(r"[\x7f-\x9f]")
