"""Which PostgreSQL programs are used, and what root does if the server's user cannot read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import EmbeddedError
from poller.embedded import binaries as programs, start
from poller.embedded.cluster import failure
from poller.embedded.os_user import OsUser, os_user_for
from tests.embedded.lab import FAST, sql

if TYPE_CHECKING:
    from collections.abc import Iterator

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the server another user")


@pytest.fixture
def os_user(tmp_path: Path) -> OsUser:
    return os_user_for(tmp_path, tmp_path / "postgresql")


@pytest.fixture
def public() -> Iterator[Path]:
    """A temporary folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="poller-public-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_newest_postgresql_of_the_wheel_is_chosen_for_a_new_data_folder(os_user: OsUser) -> None:
    assert int(programs.find(None, os_user, None).major) >= 18


def test_data_of_an_older_major_version_is_served_by_that_version_if_the_wheel_has_it(
    os_user: OsUser, public: Path
) -> None:
    older = programs.find(None, os_user, "16")
    if older.major != "16":
        pytest.skip("this wheel has no second version")
    with start(public / "data", binaries=older.folder, settings=FAST):
        pass
    with start(public / "data", settings=FAST) as server:
        assert server.version.startswith("16.")
        assert sql(server, "SHOW server_version").startswith("16.")


def test_a_folder_without_postgresql_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="has no postgres; name a folder"):
        start(tmp_path / "data", binaries=tmp_path)


def test_postgresql_programs_that_do_not_run_are_refused_with_their_error_message(
    os_user: OsUser, public: Path
) -> None:
    for name in ("postgres", "initdb", "psql"):
        (public / name).write_text("#!/bin/sh\necho wrong machine >&2; exit 3\n")
        (public / name).chmod(0o755)
    with pytest.raises(EmbeddedError, match="does not run here: wrong machine; set POLLER_DATABASE_URL"):
        programs.find(public, os_user, None)
    (public / "postgres").write_bytes(b"\x7fELF")
    with pytest.raises(EmbeddedError, match=r"does not run here: .*Exec format error"):
        programs.find(public, os_user, None)


@as_root
def test_postgresql_programs_that_the_server_account_cannot_read_are_copied_once_to_a_readable_folder(
    os_user: OsUser, public: Path, tmp_path: Path
) -> None:
    original = programs.find(None, os_user, None).folder.parent
    wheel = tmp_path / "environment" / programs.WHEEL  # pytest's folder is root's alone
    subprocess.run(["/bin/mkdir", "-p", str(wheel)], check=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(original / part, wheel / original.name / part, symlinks=True)
    shutil.copytree(original.parent.with_name(f"{programs.WHEEL}.libs"), wheel.with_name(f"{programs.WHEEL}.libs"))
    tmp_path.chmod(0o700)
    cache = public / "cache"

    found = programs.find(wheel / original.name / "bin", os_user, None, cache)

    assert found.folder.is_relative_to(cache)
    with start(public / "data", binaries=found.folder, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"
    assert all(path.stat().st_mode & 0o004 and not path.stat().st_mode & 0o022 for path in cache.rglob("*"))
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert programs.find(wheel / original.name / "bin", os_user, None, cache) == found
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


@as_root
def test_root_refuses_a_program_cache_that_other_users_can_write(os_user: OsUser, public: Path, tmp_path: Path) -> None:
    folder = tmp_path / programs.WHEEL / "pginstall18" / "bin"
    folder.mkdir(parents=True)
    tmp_path.chmod(0o700)
    for name in ("postgres", "initdb", "psql"):
        (folder / name).write_text("")
    public.chmod(0o777)
    with pytest.raises(EmbeddedError, match="can be written by others than root"):
        programs.find(folder, os_user, None, public)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("initdb: error: no locale\nhint", "it failed: initdb: error: no locale; fix that, or set"),
        ("LOG:  a\nFATAL:  b\nLOG:  c", "it failed: FATAL:  b; fix"),
        ("last words", "it failed: last words; fix"),
        ("", "it failed: it printed no message; fix"),
        ("FATAL:  could not write: No space left on device", "it failed: the disk is full; free some space"),
    ],
)
def test_a_failed_start_is_reported_with_the_most_severe_line_of_the_server_log(said: str, told: str) -> None:
    assert str(failure("it failed", said)).replace("  ", " ").startswith(told.replace("  ", " "))
