from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from poller.worker.systemd import READY, notify, watchdog_seconds

if TYPE_CHECKING:
    from pathlib import Path


def test_whoever_listens_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "s"))
        assert notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "s")})
        assert listening.recv(100) == b"READY=1"


def test_an_abstract_socket_is_told_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0poller-test-{os.getpid()}")
        assert notify(READY, {"NOTIFY_SOCKET": f"@poller-test-{os.getpid()}"})
        assert listening.recv(100) == b"READY=1"


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    assert not notify(READY, {})
    assert not notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_the_watchdogs_wish_is_read_in_seconds_and_only_if_it_is_ours() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_seconds({}) is None
