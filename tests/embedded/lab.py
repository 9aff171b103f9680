"""Real embedded servers, real processes that use them, and their state as seen from outside."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from poller.embedded import supervisor
from poller.embedded.binaries import WHEEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.embedded import EmbeddedServer

FAST: Final = {"fsync": "off"}
DEADLINE_SECONDS: Final = 60.0
_ROOT: Final = Path(__file__).parents[2]
_SCRIPT: Final = Path(__file__).with_name("user.py")


class User:
    """A process that uses the server of a data folder; as root it can run as another user."""

    def __init__(
        self,
        data_dir: Path,
        binaries: Path | None = None,
        *,
        uid: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        python = sys.executable
        if uid is not None:
            python, env = readable_python(uid)
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [python, str(_SCRIPT), str(data_dir), *([str(binaries)] if binaries else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def said(self) -> str:
        """The line of output: the server is ready, or was refused."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ready(self) -> User:
        assert self.said().startswith("ready")
        return self

    def leave(self) -> int:
        """Ends the process by closing its standard input."""
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        """Kills the process as `kill -9` does."""
        self.process.kill()
        self.process.communicate()


def sql(server: EmbeddedServer, statement: str) -> str:
    """The result of a statement, run by the bundled psql."""
    command = server.psql("-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement)
    done = subprocess.run(command.argv, cwd=command.cwd, env=command.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def server_pid(data_dir: Path) -> int | None:
    """The process id of the server that runs in this data folder, or None."""
    cluster = data_dir / "postgresql"
    try:
        pid = int((cluster / supervisor.PID_FILE).read_text().split("\n")[0])
    except (OSError, ValueError):
        return None
    return pid if supervisor.is_server_of(pid, cluster) else None


def living(data_dir: Path) -> int:
    """The process id of the server that runs in this data folder; fails without one."""
    pid = server_pid(data_dir)
    assert pid is not None
    return pid


def readable_python(uid: int) -> tuple[str, dict[str, str]]:
    """A Python interpreter that this user can run, and the environment in which it finds the poller and the wheel."""
    wheel = importlib.util.find_spec(WHEEL)
    assert wheel is not None
    assert wheel.origin is not None
    env = {"PYTHONPATH": os.pathsep.join([str(_ROOT), str(Path(wheel.origin).parent.parent)])}
    probe = "import sys, poller; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            argv = [python, "-B", "-c", probe]
            done = subprocess.run(argv, user=uid, group=uid, extra_groups=[], cwd="/", env=env, check=False)
            if done.returncode == 0:
                return python, env
    pytest.skip("no Python here that an unprivileged user can run, or the checkout is root's alone")


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


def has_ended(pid: int) -> bool:
    """Whether a process has ended or is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(true: Callable[[], bool]) -> None:
    """Waits until the condition is true; fails after a minute."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < end, "it did not happen within a minute"
        os.sched_yield()
        time.sleep(0.01)
