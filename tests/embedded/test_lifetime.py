"""The server ends with the last process that uses it, and killed processes lose no committed data."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from poller.embedded import start
from poller.embedded.os_user import os_user_for
from poller.embedded.supervisor import PID_FILE, SOCKET
from tests.embedded.lab import FAST, has_ended, living, parent_of, server_pid, sql, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.embedded.lab import User


def test_data_is_still_there_after_a_restart(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    assert server_pid(data_dir) is None
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT answer FROM kept") == "42"


def test_a_second_process_shares_the_server_and_the_last_one_ends_it(
    data_dir: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        pid = living(data_dir)
        other = user(data_dir).ready()
        assert living(data_dir) == pid
    assert living(data_dir) == pid, "the first has left, the second is still there"
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"
        assert other.leave() == 0
        assert living(data_dir) == pid
    assert server_pid(data_dir) is None
    assert has_ended(pid)


def test_killing_the_process_that_started_the_server_leaves_the_server_to_a_second_one(
    data_dir: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    first = user(data_dir).ready()
    pid = living(data_dir)
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        first.kill()
        assert sql(server, "SELECT 1") == "1"
        assert living(data_dir) == pid
    assert has_ended(pid)


def test_killing_the_only_process_ends_the_server_and_its_supervisor(data_dir: Path, user: Callable[..., User]) -> None:
    only = user(data_dir).ready()
    pid = living(data_dir)
    keeper = parent_of(pid)
    only.kill()
    wait_until(lambda: has_ended(pid) and has_ended(keeper))
    assert not (data_dir / "postgresql" / PID_FILE).exists(), "it was shut down, not left to crash"


def test_a_killed_server_is_restarted_with_all_committed_data(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
        pid = living(data_dir)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: has_ended(pid))
        with start(data_dir, binaries=binaries) as again:
            assert living(data_dir) != pid
            assert sql(again, "SELECT count(*) FROM kept") == "1000"
        wait_until(server.accepts_connections)
        assert sql(server, "SELECT count(*) FROM kept") == "1000"


def test_the_next_start_recovers_after_all_processes_were_killed_at_once(
    data_dir: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    only = user(data_dir).ready()
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
        pid = living(data_dir)
        keeper = parent_of(pid)
        os.kill(keeper, signal.SIGSTOP)  # or it would see its child's death
        os.kill(pid, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        only.kill()
        wait_until(lambda: has_ended(pid) and has_ended(keeper))
    assert (data_dir / "postgresql" / PID_FILE).exists(), "a crash leaves it behind"
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT count(*) FROM kept") == "1000"


def test_a_stale_pid_file_that_names_an_unrelated_process_does_not_prevent_the_start(
    data_dir: Path, binaries: Path | None
) -> None:
    cluster = data_dir / "postgresql"
    # PostgreSQL takes any living process of its own user for its predecessor.
    with start(data_dir, binaries=binaries, settings=FAST):
        content = (cluster / PID_FILE).read_text().split("\n")
    owner = cluster.stat().st_uid
    stranger = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, **os_user_for(data_dir, cluster).popen_arguments)
    content[0] = str(stranger.pid)
    for name in (PID_FILE, f"{SOCKET}.lock"):
        (cluster / name).write_text("\n".join(content))
        os.chown(cluster / name, owner, -1)
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT 1") == "1"
    assert stranger.poll() is None
    stranger.communicate()


def test_a_killed_supervisor_ends_the_server_and_the_next_start_starts_both_again(
    data_dir: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
        pid = living(data_dir)
        os.kill(parent_of(pid), signal.SIGKILL)
        with start(data_dir, binaries=binaries, settings=FAST) as again:
            assert living(data_dir) != pid
            assert has_ended(pid)
            assert sql(again, "SELECT answer FROM kept") == "42"
        assert sql(server, "SELECT answer FROM kept") == "42"
    assert server_pid(data_dir) is None


def test_a_killed_supervisor_is_replaced_by_the_processes_that_use_the_server(
    data_dir: Path, binaries: Path | None
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        pid = living(data_dir)
        os.kill(parent_of(pid), signal.SIGKILL)
        wait_until(lambda: server_pid(data_dir) not in {pid, None})
        wait_until(server.accepts_connections)
        assert sql(server, "SELECT 1") == "1"
    assert server_pid(data_dir) is None


def test_a_server_started_by_hand_is_ended_before_the_poller_starts_its_own(
    data_dir: Path, binaries: Path | None
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        programs = server.binaries
    cluster = data_dir / "postgresql"
    fd = os.open(cluster, os.O_RDONLY)
    argv = [str(programs / "postgres"), "-D", f"/proc/self/fd/{fd}", "-c", "listen_addresses=", "-k", "."]
    as_os_user = os_user_for(data_dir, cluster).popen_arguments
    by_hand = subprocess.Popen(argv, pass_fds=(fd,), stderr=subprocess.DEVNULL, cwd="/", **as_os_user)
    os.close(fd)
    wait_until(lambda: server_pid(data_dir) == by_hand.pid)
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert by_hand.wait() == 0
        assert sql(server, "SELECT 1") == "1"


def test_a_signal_to_all_processes_of_a_service_ends_the_server_only_after_its_users(
    data_dir: Path, binaries: Path | None
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        pid = living(data_dir)
        keeper = parent_of(pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(keeper, number)
        assert sql(server, "SELECT 1") == "1"
        assert living(data_dir) == pid
        assert not has_ended(keeper)
    assert has_ended(pid)


def test_a_process_the_poller_started_does_not_keep_the_server_alive(data_dir: Path, binaries: Path | None) -> None:
    with start(data_dir, binaries=binaries, settings=FAST):
        pid = living(data_dir)
        child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, close_fds=False)
    assert has_ended(pid)
    assert child.poll() is None
    child.communicate()


def test_processes_that_start_and_end_all_the_time_each_get_a_server(
    data_dir: Path, binaries: Path | None, user: Callable[..., User]
) -> None:
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        sql(server, "DROP TABLE IF EXISTS visits; CREATE TABLE visits (visit int)")
    for visit in range(3):
        crowd = [user(data_dir) for _ in range(3)]
        with start(data_dir, binaries=binaries, settings=FAST) as server:
            sql(server, f"INSERT INTO visits VALUES ({visit})")
        for each in crowd:
            each.ready()
        for each in crowd[:-1]:
            assert each.leave() == 0
        crowd[-1].kill()
    with start(data_dir, binaries=binaries, settings=FAST) as server:
        assert sql(server, "SELECT count(*) FROM visits") == "3"


def test_starting_and_ending_a_server_adds_and_removes_no_file_of_the_data_folder(
    data_dir: Path, binaries: Path | None
) -> None:
    before = {path.name for path in data_dir.iterdir()}
    with start(data_dir, binaries=binaries, settings=FAST):
        pass
    assert {path.name for path in data_dir.iterdir()} == before
    assert Path(data_dir / "postgresql.log").stat().st_mode & 0o077 == 0
