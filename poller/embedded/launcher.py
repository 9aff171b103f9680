"""Starts the server of a data folder, and its supervisor, unless they run already.

The caller holds the users' lock, so that no supervisor stops the server, and the start lock, so that no other process
starts one at the same time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError
from poller.embedded import cluster, supervisor
from poller.embedded.locks import EXCLUSIVE, PAUSE_SECONDS, SHARED, FileLock, open_private
from poller.embedded.os_user import ENVIRONMENT, OsUser

if TYPE_CHECKING:
    from pathlib import Path

    from poller.embedded.binaries import Binaries
    from poller.embedded.server_socket import ServerSocket

# Recovery after a crash replays about max_wal_size (1 GB) at most, which takes less than ten minutes on a slow disk.
MAX_WAIT_SECONDS: Final = 600.0
LOG: Final = "postgresql.log"
_MAX_SUPERVISORS: Final = 5  # a supervisor that ends without a message was killed: start another one
_LOG_BYTES: Final = 1 << 20
_LOG_READ_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Launcher:
    """Everything needed to start the server of one data folder."""

    data_dir: Path
    binaries: Binaries
    os_user: OsUser
    options: tuple[str, ...]

    def has_supervisor(self) -> bool:
        """True if a supervisor runs."""
        return not _can_take(self.data_dir, SHARED)

    def serve(self, socket: ServerSocket) -> None:
        """Start a supervisor if there is none, and wait until the server accepts connections."""
        end = time.monotonic() + MAX_WAIT_SECONDS
        log = self.data_dir / LOG
        log_starts: list[int] = []  # where the log of each supervisor starts
        while time.monotonic() < end:
            lock = FileLock(self.data_dir / "postgresql.keeper")
            try:
                if lock.try_take(EXCLUSIVE):
                    logged = _read_from(log, log_starts[-1]) if log_starts else ""
                    if supervisor.GAVE_UP in logged or len(log_starts) == _MAX_SUPERVISORS:
                        raise cluster.failure("PostgreSQL could not be started", logged)
                    log_starts.append(self._start_supervisor(log, lock))
                elif socket.accepts_connections():
                    return
            finally:
                lock.close()
            time.sleep(PAUSE_SECONDS)
        raise EmbeddedError(f"PostgreSQL has not started within {MAX_WAIT_SECONDS:.0f} seconds", f"read {log}")

    def _start_supervisor(self, log: Path, lock: FileLock) -> int:
        """Starts a supervisor, which inherits `lock`; returns the offset at which its part of the log starts."""
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        job = {
            "postgres": self.binaries.program("postgres"),
            "folder": str(self.data_dir / "postgresql"),
            "users": str(self.data_dir / "postgresql.users"),
            "os_user": self.os_user.popen_arguments,
            "options": self.options,
        }
        out = open_private(log, os.O_WRONLY | os.O_APPEND)
        try:
            log_start = os.fstat(out).st_size
            # -I -S: without environment variables and installed packages, the process is small and starts quickly.
            parent = subprocess.Popen(  # noqa: S603 - our own script, no shell
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(job)],
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(lock.fd,),
                start_new_session=True,
            )
            parent.wait()  # it forks the supervisor, which is then no child of this process, and ends
        finally:
            os.close(out)
        return log_start


def _can_take(data_dir: Path, kind: int) -> bool:
    lock = FileLock(data_dir / "postgresql.keeper")
    try:
        return lock.try_take(kind)
    finally:
        lock.close()


def _read_from(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read(_LOG_READ_BYTES).decode(errors="replace")
