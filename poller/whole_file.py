"""Writes a file that appears complete or not at all: under a temporary name beside it, which then replaces it."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from poller.core.errors import OperationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_place(path: Path) -> None:
    """A `UsageError` where no file can be at this place."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "create it, or name another file")


class TextWriter:
    """Writes text to a file; an error of the disk, such as a full one, is an `OperationError` that names the file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.bytes = 0

    def write(self, text: str) -> None:
        """Writes a text as UTF-8."""
        with _writing(self._path):
            self.bytes += self._file.write(text.encode())


@contextmanager
def whole_file(path: Path) -> Iterator[TextWriter]:
    """The file to write to; an error within the block leaves what was at `path` as it is."""
    check_place(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            file = part.open("xb")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "name another file") from None
        with file:
            yield TextWriter(file, path)
            with _writing(path):
                file.flush()
                os.fsync(file.fileno())
        with _writing(path):
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OperationError(f"{path} cannot be written: {error.strerror}", "name another file") from None
