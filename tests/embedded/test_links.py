"""No link in the data folder is followed, and the target of a link is not changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import EmbeddedError
from poller.embedded import start
from poller.embedded.cluster import open_folder
from poller.embedded.locks import open_private
from poller.embedded.supervisor import PID_FILE, _recorded_pid
from tests.embedded.lab import FAST

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_text("4711\n")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("name", ["postgresql.start", "postgresql.users", "postgresql.keeper", "postgresql.log"])
def test_no_link_in_the_data_folder_is_followed(
    data_dir: Path, binaries: Path | None, precious: Path, name: str
) -> None:
    before = precious.stat()
    link = data_dir / name
    link.unlink(missing_ok=True)
    link.symlink_to(precious)
    try:
        with pytest.raises(EmbeddedError, match=f"{name} is a link, and may lead to another user's file; remove it"):
            start(data_dir, binaries=binaries, settings=FAST)
    finally:
        link.unlink()
    after = precious.stat()
    assert (precious.read_text(), after.st_mode, after.st_uid) == ("4711\n", before.st_mode, before.st_uid)
    start(data_dir, binaries=binaries, settings=FAST).close()


def test_a_dangling_link_creates_no_file_at_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(EmbeddedError, match="is a link"):
        open_private(tmp_path / "link", os.O_RDWR)
    assert not (tmp_path / "target").exists()


def test_a_folder_replaced_by_a_link_is_not_given_to_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.close(open_folder(folder))
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(NotADirectoryError):
        open_folder(tmp_path / "link")


def test_the_supervisor_reads_no_process_id_through_a_link(tmp_path: Path, precious: Path) -> None:
    (tmp_path / PID_FILE).symlink_to(precious)
    assert _recorded_pid(tmp_path) is None
    (tmp_path / PID_FILE).unlink()
    (tmp_path / PID_FILE).write_text("4711\n")
    assert _recorded_pid(tmp_path) == 4711
