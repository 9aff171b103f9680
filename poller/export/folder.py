"""The folder of an export: a record of its files, a lock for one writer at a time, and atomic writes.

Knows nothing about the content of the files.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import OperationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from typing_extensions import Buffer

    from poller.core.series import DaySelection
    from poller.store.series.days import Fingerprint

RECORD: Final = "_export.json"
"""Programs that read a folder of Parquet files ignore names that begin with an underscore."""


class FileRecord:
    """What a folder contains: which orgs and user types, in which format, and the fingerprint of each day."""

    def __init__(self, folder: Path, about: dict[str, Any], days: dict[str, list[int]]) -> None:
        self._days = days
        self._folder = folder
        self._about = about

    @classmethod
    def read(cls, folder: Path, output: str, selection: DaySelection, *, byte_order_mark: bool = False) -> FileRecord:
        """Reads the record of a folder, or starts one; raises `UsageError` if the folder has another export."""
        orgs = None if selection.org_ids is None else sorted(selection.org_ids)
        about: dict[str, Any] = {"format": str(output), "org_ids": orgs, "user_types": list(selection.user_types)}
        about |= {"byte_order_mark": True} if byte_order_mark else {}
        try:
            stored = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            days = stored.pop("days")
        except FileNotFoundError:
            return cls(folder, about, {})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{folder / RECORD} is not the record of an export", "name another folder") from None
        if stored != about:
            raise UsageError(f"{folder} holds an export of something else", "name another folder")
        return cls(folder, about, days)

    def path(self, day: date) -> Path:
        """The path of a day's file."""
        return self._folder / f"user_counts_{day.isoformat()}.{self._about['format']}"

    def has(self, day: date) -> bool:
        """True if there is a file of this day."""
        return day.isoformat() in self._days and self.path(day).exists()

    def holds(self, day: date, content: Fingerprint) -> bool:
        """True if the file of this day has this content."""
        return self.has(day) and self._days[day.isoformat()] == [content.snapshots, content.digest]

    def add(self, day: date, content: Fingerprint) -> None:
        """Records that the file of this day was written with this content."""
        self._days[day.isoformat()] = [content.snapshots, content.digest]
        with replaced(self._folder / RECORD) as file:
            file.write(json.dumps({**self._about, "days": self._days}, indent=1).encode())


@contextmanager
def replaced(path: Path) -> Iterator[Any]:
    """A file under a temporary name, which replaces `path` once it is complete and on disk."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _writing(path):
            raw = io.FileIO(partial, "w")
        with _File(raw, path) as file:
            yield file
            file.flush()
            with _writing(path):
                os.fsync(file.fileno())
                partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


class _File(io.BufferedWriter):
    """A file whose errors are `OperationError`, so that they differ from errors of the database that is being read."""

    def __init__(self, raw: io.FileIO, path: Path) -> None:
        super().__init__(raw)
        self._path = path

    def write(self, data: Buffer) -> int:
        with _writing(self._path):
            return super().write(data)

    def flush(self) -> None:
        with _writing(self._path):
            super().flush()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OperationError(
            f"{path} cannot be written: {error.strerror}", "fix that, and run it again: it continues where it ended"
        ) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Creates the folder if necessary and locks it, so that no other export writes to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}", "name a folder of your own") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another export writes into {folder}", "wait for its end, or name another folder") from None
    else:
        yield
    finally:
        os.close(handle)
