"""Exports counts to files, one file per day, with one row per org, slot and user type.

A folder contains one export. A file is written completely or not at all, and written again only if its day has changed.
So an interrupted export continues where it ended, and a daily one writes the new and the corrected days. The files of
days whose snapshots were dropped stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from poller.core.spreadsheet import BYTE_ORDER_MARK
from poller.export.folder import FileRecord, alone_in, replaced
from poller.store.series.days import days_kept, open_day
from poller.store.series.retention import raw_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    from poller.core.series import DaySelection
    from poller.store.database import Database
    from poller.store.series.days import DayReader

__all__ = ["ExportFormat", "Exported", "export"]


class ExportFormat(StrEnum):
    """The format of the files."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(slots=True)
class Exported:
    """The result of an export: days written, days that were up to date, rows and bytes written."""

    written: int = 0
    kept: int = 0
    rows: int = 0
    bytes: int = 0


async def export(
    database: Database,
    folder: Path,
    output: ExportFormat,
    selection: DaySelection,
    *,
    since: date | None,
    until: date,
    byte_order_mark: bool = False,
    progress: Callable[[int, int], None],
) -> Exported:
    """Brings the files of `folder` up to date, for the days from `since` (None: the oldest) to `until`.

    `progress(done, all)` is called with numbers of days. `byte_order_mark`: each file begins with one (only CSV).
    """
    done = Exported()
    with alone_in(folder):
        record = FileRecord.read(folder, output, selection, byte_order_mark=byte_order_mark)
        whole = await raw_since(database)
        days = await days_kept(database, since, until)
        for place, day in enumerate(days):
            progress(place, len(days))
            if day < whole and record.has(day):
                done.kept += 1
                continue
            async with open_day(database, selection, day) as reader:
                content = await reader.fingerprint()
                if record.holds(day, content):
                    done.kept += 1
                elif content.snapshots:
                    done.bytes += await _write(
                        record.path(day), output, reader, selection, byte_order_mark=byte_order_mark
                    )
                    done.rows += content.snapshots * len(selection.user_types)
                    done.written += 1
                    record.add(day, content)
        progress(len(days), len(days))
    return done


async def _write(
    path: Path, output: ExportFormat, reader: DayReader, selection: DaySelection, *, byte_order_mark: bool
) -> int:
    """Writes the file of one day; returns its size in bytes."""
    if output is ExportFormat.CSV:
        from poller.export.csv_file import write  # noqa: PLC0415 - only the module that is needed
    else:
        from poller.export.parquet_file import write  # noqa: PLC0415 - a large, optional dependency
    with replaced(path) as file:
        file.write(BYTE_ORDER_MARK.encode() if byte_order_mark else b"")
        await write(file, reader.blocks(), selection.user_types)
        return int(file.tell())
