"""A report's file appears complete or not at all."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import OperationError
from poller.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The limit of the system for this process, which has the effect of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_is_no_mistake_of_the_user_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("last month")
    said = f"{path} cannot be written: File too large; name another file"
    with files_of_at_most(1_000), pytest.raises(OperationError, match=said), whole_file(path) as file:
        file.write("x" * 100_000)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["last month"]
