from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from poller.simulator import Simulator, SimulatorOptions
from poller.worker.systemd import READY, notify, watchdog_seconds
from tests.acceptance.processes import machine, serving

UNIT = Path(__file__).parents[2] / "deploy" / "poller.service"


def test_systemd_is_notified_through_its_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "s"))
        assert notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "s")})
        assert listening.recv(100) == b"READY=1"


def test_systemd_is_notified_through_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0poller-test-{os.getpid()}")
        assert notify(READY, {"NOTIFY_SOCKET": f"@poller-test-{os.getpid()}"})
        assert listening.recv(100) == b"READY=1"


def test_without_a_systemd_socket_no_notification_is_sent(tmp_path: Path) -> None:
    assert not notify(READY, {})
    assert not notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_the_watchdog_interval_is_read_in_seconds_and_only_if_meant_for_this_process() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_seconds({}) is None


async def test_a_service_notifies_systemd_that_it_is_ready_alive_and_stopping(
    database_url: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.setblocking(False)
        async with Simulator(SimulatorOptions(orgs=1)) as sim:
            notified = {"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": "500000"}
            async with serving(machine(sim, database_url, POLLER_WEB_PORT="0", **notified)) as service:
                assert [await heard(listening) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        rest = [await heard(listening)]
        while rest[-1] != "STOPPING=1":
            rest.append(await heard(listening))
    assert set(rest[:-1]) <= {"WATCHDOG=1"}
    assert service.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_analyze_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    here = tmp_path / "poller.service"
    here.write_text(text.replace("/opt/poller/.venv/bin/poller", str(Path(sys.executable).with_name("poller"))))
    argv = ["systemd-analyze", "verify", "--man=no", str(here)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def heard(listening: socket.socket) -> str:
    """The next notification."""
    async with asyncio.timeout(60):
        return (await asyncio.get_running_loop().sock_recv(listening, 100)).decode()
