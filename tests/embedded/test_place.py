"""Where a cluster can be, who owns it, and what is refused, with the remedy."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.errors import EmbeddedError
from poller.embedded import start
from tests.embedded.conftest import DEBIAN_15
from tests.embedded.lab import FAST, living, parent_of, server_pid, sql, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.embedded.lab import User

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend the server another user")


def test_two_first_starts_at_once_share_one_cluster_and_one_server(folder: Path, user: Callable[..., User]) -> None:
    data_dir = folder / "data"
    first, second = user(data_dir), user(data_dir)
    first.ready()
    second.ready()
    pid = living(data_dir)
    first.leave()
    assert living(data_dir) == pid
    second.leave()
    assert server_pid(data_dir) is None
    assert not list(data_dir.glob("postgresql.new-*"))


def test_a_new_data_folder_and_its_cluster_are_accessible_only_to_their_owners(
    data_dir: Path, binaries: Path | None
) -> None:
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert (data_dir / "postgresql").stat().st_mode & 0o777 == 0o700
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SHOW server_encoding") == "UTF8"
        assert sql(server, "SHOW data_checksums") == "on"
        assert sql(server, "SELECT current_user || ' ' || current_database()") == "poller poller"


def test_the_embedded_server_is_durable_by_default(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries) as server:
        assert [sql(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on",
            "on",
            "on",
        ]
    with start(data_dir, binaries=binaries, settings={"fsync": "off", "max_connections": "7"}) as server:
        assert sql(server, "SHOW fsync") == "off"
        assert sql(server, "SHOW max_connections") == "7"


def test_no_tcp_port_is_opened(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries, settings=FAST):
        pid = living(data_dir)
        opened = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        listening = [
            line.split()[9]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        ]
        assert not [inode for inode in listening if f"socket:[{inode}]" in opened]
        assert any(name.startswith("socket:") for name in opened), "its Unix socket is seen this way"


@pytest.mark.parametrize("name", ["a space", "per%cent&?=#", "é ü", "deep" + "/quite-a-long-name-for-a-folder" * 6])
def test_a_data_folder_can_be_moved_to_any_path(folder: Path, data_dir: Path, binaries: Path | None, name: str) -> None:
    async def ask(dsn: str) -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("SELECT 42")
        finally:
            await connection.close()

    there = folder / name
    there.parent.mkdir(parents=True, exist_ok=True)
    data_dir.rename(there)
    try:
        with start(there, binaries=binaries, settings=FAST) as server:
            assert sql(server, "SELECT 1") == "1"
            assert asyncio.run(ask(server.dsn())) == 42
            assert asyncio.run(ask(server.dsn("postgres"))) == 42
        assert server_pid(there) is None
    finally:
        there.rename(data_dir)


@as_root
def test_root_can_use_a_folder_that_only_root_may_enter_without_changing_its_mode(
    folder: Path, binaries: Path | None
) -> None:
    secluded = folder / "secluded"
    secluded.mkdir(mode=0o700)
    above = [secluded, *secluded.parents]
    modes = [path.stat().st_mode for path in above]
    users = Path("/etc/passwd").read_bytes()
    data_dir = secluded / "data"
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"
        uid = Path(f"/proc/{living(data_dir)}").stat().st_uid
        assert uid in {pwd.getpwnam(name).pw_uid for name in ("postgres", "nobody")}
        assert (data_dir / "postgresql").stat().st_uid == uid
    assert [path.stat().st_mode for path in above] == modes
    assert Path("/etc/passwd").read_bytes() == users


@as_root
def test_another_user_gets_a_clear_refusal_for_a_data_folder_of_root(data_dir: Path, user: Callable[..., User]) -> None:
    data_dir.parent.chmod(0o711)
    said = user(data_dir, uid=pwd.getpwnam("nobody").pw_uid).said()
    assert said.startswith("refused")
    assert said.endswith("choose a POLLER_DATA_DIR of your own")


@as_root
def test_an_ordinary_user_can_run_the_embedded_server_and_root_can_share_it(
    folder: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    uid = pwd.getpwnam("nobody").pw_uid
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    folder.chmod(0o711)
    data_dir = home / "data"
    user(data_dir, uid=uid).ready().leave()  # makes it
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert Path(f"/proc/{living(data_dir)}").stat().st_uid == uid
        theirs = user(data_dir, uid=uid).ready()
        assert sql(server, "SELECT 1") == "1"
    assert theirs.leave() == 0
    assert server_pid(data_dir) is None
    assert {path.stat().st_uid for path in data_dir.iterdir()} == {uid}


def test_neither_supervisor_nor_server_inherits_the_environment_of_the_poller(
    data_dir: Path, user: Callable[..., User]
) -> None:
    user(data_dir, env={**os.environ, "POLLER_SECRET_KEYS": "k1:hush", "PGOPTIONS": "-c fsync=on"}).ready()
    pid = living(data_dir)
    for process in (pid, parent_of(pid)):
        assert b"hush" not in Path(f"/proc/{process}/environ").read_bytes()
        assert b"PGOPTIONS" not in Path(f"/proc/{process}/environ").read_bytes()


def test_the_server_log_contains_no_value_of_a_row_or_statement(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS one; CREATE TABLE one (secret text UNIQUE)")
        with pytest.raises(AssertionError, match="duplicate key"):
            sql(server, "INSERT INTO one VALUES ('hush'), ('hush')")
    log = (data_dir / "postgresql.log").read_text()
    assert "duplicate key" in log
    assert "hush" not in log


def test_a_long_server_log_is_renamed_once(data_dir: Path, binaries: Path | None) -> None:
    log, aside = data_dir / "postgresql.log", data_dir / "postgresql.log.1"
    with log.open("a") as file:
        file.write("x" * (1 << 20))
    with start(data_dir, binaries=binaries, settings=FAST):
        assert aside.stat().st_size > 1 << 20
        assert log.stat().st_size < 1 << 20
    aside.unlink()


def test_data_of_another_major_version_is_refused_with_both_versions_named(
    data_dir: Path, binaries: Path | None
) -> None:
    if not (DEBIAN_15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    other, ours, theirs = (DEBIAN_15, "18", "15") if binaries is None else (None, "15", "18")
    with pytest.raises(EmbeddedError, match=rf"is of PostgreSQL {ours}, the installed programs are {theirs}\.\d+; "):
        start(data_dir, binaries=other)
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"


def test_a_folder_that_is_not_a_cluster_is_left_unchanged_in_the_place_of_the_cluster(
    folder: Path, binaries: Path | None
) -> None:
    (folder / "postgresql").mkdir()
    (folder / "postgresql" / "diary.txt").write_text("dear")
    with pytest.raises(EmbeddedError, match=r"other than a PostgreSQL cluster; move it away"):
        start(folder, binaries=binaries)
    assert (folder / "postgresql" / "diary.txt").read_text() == "dear"


def test_a_cluster_that_other_users_can_enter_is_refused(data_dir: Path, binaries: Path | None) -> None:
    cluster = data_dir / "postgresql"
    cluster.chmod(0o750)
    try:
        with pytest.raises(EmbeddedError, match=r"open to other users; chmod 700"):
            start(data_dir, binaries=binaries)
    finally:
        cluster.chmod(0o700)


def test_a_data_folder_that_all_users_can_write_is_refused(folder: Path, binaries: Path | None) -> None:
    folder.chmod(0o777)
    with pytest.raises(EmbeddedError, match="can be written by every user"):
        start(folder, binaries=binaries)
    assert list(folder.iterdir()) == []


def test_a_data_folder_that_is_a_file_is_refused(folder: Path, binaries: Path | None) -> None:
    (folder / "data").write_text("")
    with pytest.raises(EmbeddedError, match="Not a directory; choose a POLLER_DATA_DIR of your own"):
        start(folder / "data", binaries=binaries)


def test_leftovers_of_a_crashed_first_start_are_removed(data_dir: Path, binaries: Path | None) -> None:
    left = data_dir / "postgresql.new-abc"
    left.mkdir()
    (left / "PG_VERSION").write_text("18")
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"
    assert not left.exists()


def test_a_first_start_that_was_killed_half_way_is_repeated_from_the_beginning(
    folder: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    data_dir = folder / "data"
    first = user(data_dir)
    wait_until(lambda: any(data_dir.glob("postgresql.new-*/base")))
    first.kill()
    assert not (data_dir / "postgresql").exists()
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"


def test_a_failed_server_start_reports_its_reason_and_leaves_no_process(data_dir: Path, binaries: Path | None) -> None:
    with pytest.raises(EmbeddedError, match=r'could not be started: .*FATAL: .*"max_connections"'):
        start(data_dir, binaries=binaries, settings={"max_connections": "many"})
    assert server_pid(data_dir) is None
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"


@as_root
def test_a_full_disk_is_reported_as_such_and_leaves_no_incomplete_cluster(folder: Path, binaries: Path | None) -> None:
    if subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("no right to mount here")
    try:
        with pytest.raises(EmbeddedError, match="the disk is full; free some space"):
            start(folder / "data", binaries=binaries)
        assert not list((folder / "data").glob("postgresql*/*"))
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


def test_closing_twice_has_the_effect_of_closing_once(data_dir: Path, binaries: Path | None) -> None:
    server = start(data_dir, binaries=binaries, settings=FAST)
    server.close()
    server.close()
    assert server_pid(data_dir) is None
