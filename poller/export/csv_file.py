"""Writes snapshots as CSV: one row per org, slot and user type, as in the view `user_counts`.

Times are ISO 8601 with offset (UTC); an unknown value is an empty field. The text is safe to open in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
from itertools import repeat
from typing import TYPE_CHECKING, Any

from poller.core.spreadsheet import cell
from poller.export.rows import COLUMNS, counts_of, errors_of, has_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence


async def write(file: Any, blocks: AsyncIterator[list[Any]], user_types: Sequence[str]) -> None:
    """Writes the headings and every block of `DayReader.blocks`; the caller closes the file."""
    file.write(f"{','.join(COLUMNS)}\n".encode())
    names = [str(user_type) for user_type in user_types]
    async for block in blocks:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for row in block:
            writer.writerows(_long(row, names))
        file.write(text.getvalue().encode())


def _long(row: Sequence[Any], user_types: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    org_id, org, at, polled_at, outcome = row[:5]
    org = cell(org)
    slot, polled = at.isoformat(), "" if polled_at is None else polled_at.isoformat()
    errors = errors_of(row, user_types) if has_errors(row) else repeat(None, len(user_types))
    for user_type, count, error in zip(user_types, counts_of(row), errors, strict=True):
        yield org_id, org, user_type, slot, polled, count, outcome, cell(error)
