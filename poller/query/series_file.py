"""Reads any series of daily values from a CSV file, `series,day,value`, and writes their forecasts or anomalies.

The file is read once, a line at a time, into typed arrays: four million rows take 100 MB.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import sys
from array import array
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final

from poller.analysis.anomalies import in_series
from poller.analysis.forecast import forecast
from poller.analysis.series import histories
from poller.core.errors import UsageError
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from poller.analysis.forecast import Forecasts
    from poller.analysis.series import History

COLUMNS: Final = ("series", "day", "value")
ANOMALY_COLUMNS: Final = (
    "series",
    "day",
    "kind",
    "before",
    "after",
    "expected_low",
    "expected_high",
    "severity",
    "why",
)
FORECAST_COLUMNS: Final = ("series", "day", "mean", "low80", "high80", "low95", "high95")
_TEXTS: Final = frozenset({"series", "day", "kind", "severity", "why"})
_LONGEST_QUOTE: Final = 40


@dataclass(slots=True)
class SeriesFile:
    """The contents of a file: the name of each series, and its values as three arrays of equal length."""

    names: list[str] = field(default_factory=list)
    series: array[int] = field(default_factory=lambda: array("i"))
    days: array[int] = field(default_factory=lambda: array("i"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def histories(self) -> list[History]:
        """The histories of all series that have a known value."""
        return histories(self.series, self.days, self.values)


@contextlib.contextmanager
def open_series_file(path: Path) -> Iterator[TextIO]:
    """The lines of a file, `-` being standard input; a `UsageError` where it cannot be read as UTF-8."""
    try:
        if str(path) == "-":
            sys.stdin.reconfigure(encoding="utf-8-sig", newline="")  # type: ignore[union-attr]
            yield sys.stdin
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield lines
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", "save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a CSV file") from None


def read_series(lines: Iterable[str]) -> SeriesFile:
    """Reads `series,day,value` in any order of rows and columns; a `UsageError` names the first line that is wrong.

    Empty values are unknown days. If a day is there twice, the later row counts.
    """
    rows = csv.reader(lines)
    found = SeriesFile()
    header = [name.strip().lower().lstrip("\ufeff") for name in next(rows, [])]
    if not header:
        return found
    if missing := [column for column in COLUMNS if column not in header]:
        raise UsageError(f"the file has no column {missing[0]}", f"its first line must be {','.join(COLUMNS)}")
    name_at, day_at, value_at = (header.index(column) for column in COLUMNS)
    try:
        _read_rows(rows, (name_at, day_at, value_at), found)
    except csv.Error as wrong:
        raise UsageError(f"line {rows.line_num} is not CSV: {wrong}", "write the file as CSV") from None
    return found


def _read_rows(rows: Iterator[list[str]], places: tuple[int, int, int], found: SeriesFile) -> None:
    name_at, day_at, value_at = places
    names: dict[str, int] = {}
    ordinals: dict[str, int] = {}
    longest = max(places)
    add_series, add_day, add_value = found.series.append, found.days.append, found.values.append
    for row in rows:
        if not row:
            continue
        if len(row) <= longest:
            raise _wrong(rows, f"it has {len(row)} fields", f"give each line {','.join(COLUMNS)}")
        day_text, text = row[day_at], row[value_at].strip()
        day = ordinals.get(day_text)
        if day is None:
            day = ordinals[day_text] = _ordinal(rows, day_text)
        try:
            value = float(text) if text else math.nan
        except ValueError:
            raise _wrong(rows, f"{_quoted(text)} is not a number", "write a number, or nothing if unknown") from None
        if math.isinf(value):
            raise _wrong(rows, f"{_quoted(text)} is not a number", "write a number, or nothing if unknown")
        add_series(names.setdefault(row[name_at], len(names)))
        add_day(day)
        add_value(value)
    found.names.extend(names)


def forecast_lines(file: SeriesFile, horizon: int) -> Iterator[str]:
    """The forecasts of a file as CSV, one series at a time, the names of the columns first."""
    yield ",".join(FORECAST_COLUMNS) + "\n"
    found = file.histories()
    days: dict[int, str] = {}
    for chunk in forecast([history.values for history in found], horizon):
        for place, row in enumerate(chunk.rows.tolist()):
            history = found[row]
            yield _lines(_row([file.names[history.series]]), history.last_day, chunk, place, days)


def anomaly_lines(file: SeriesFile) -> Iterator[str]:
    """The anomalies of a file as CSV, one series at a time, the names of the columns first."""
    yield ",".join(ANOMALY_COLUMNS) + "\n"
    for history in file.histories():
        first = history.last_day - len(history.values) + 1
        for found in in_series(history.values):
            numbers = (found.before, found.after, found.expected_low, found.expected_high)
            texts = ["" if number is None else _number(number) for number in numbers]
            day = date.fromordinal(first + found.day).isoformat()
            yield _row([file.names[history.series], day, found.kind, *texts, found.severity, found.why]) + "\n"


def json_objects(csv_parts: Iterable[str]) -> Iterator[str]:
    """The lines of `forecast_lines` or `anomaly_lines` as one JSON object per line; an empty field is null."""
    rows = csv.reader(line for part in csv_parts for line in io.StringIO(part, newline=""))
    columns = next(rows)
    for row in rows:
        fields = (_json_value(column, text) for column, text in zip(columns, row, strict=True))
        yield json_text(dict(zip(columns, fields, strict=True))) + "\n"


def _json_value(column: str, text: str) -> str | float | None:
    if column in _TEXTS:
        return text
    return (float(text) if set(text) & set(".e") else int(text)) if text else None


def _lines(name: str, last_day: int, chunk: Forecasts, place: int, days: dict[int, str]) -> str:
    columns = [
        _numbers(matrix[place].tolist())
        for matrix in (chunk.mean, chunk.low80, chunk.high80, chunk.low95, chunk.high95)
    ]
    lines = []
    for ahead, numbers in enumerate(zip(*columns, strict=True), start=last_day + 1):
        day = days.get(ahead)
        if day is None:
            try:
                day = days[ahead] = date.fromordinal(ahead).isoformat()
            except (ValueError, OverflowError):
                break  # after the last day of the calendar
        lines.append(f"{name},{day},{','.join(numbers)}\n")
    return "".join(lines)


def _numbers(values: list[float]) -> list[str]:
    return [_number(value) for value in values]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.4g}"


def _row(fields: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _ordinal(rows: Iterator[list[str]], text: str) -> int:
    try:
        return date.fromisoformat(text.strip()[:10]).toordinal()
    except ValueError:
        raise _wrong(rows, f"{_quoted(text)} is not a day", "write it as 2026-01-31") from None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")


def _wrong(rows: Iterator[list[str]], what: str, remedy: str) -> UsageError:
    line = getattr(rows, "line_num", 0)
    return UsageError(f"line {line}: {what}", remedy)
