"""Seeing to it that a data folder has a server: one keeper, one server, however many ask at once.

The caller holds the users' lock (so that no keeper may end the server) and the start lock (so that it is alone here).
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

# Recovery of a crashed server replays at most some max_wal_size (1 GB): minutes on a slow disk, never ten.
PATIENCE_SECONDS: Final = 600.0
LOG: Final = "postgresql.log"
_KEEPERS: Final = 5  # one that ends without a word was killed: another is tried
_LOG_BYTES: Final = 1 << 20
_LOG_TOLD_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Launcher:
    """What it takes to run the server of one data folder."""

    data_dir: Path
    binaries: Binaries
    account: OsUser
    options: tuple[str, ...]

    def has_keeper(self) -> bool:
        """Whether a keeper lives."""
        return not _can_take(self.data_dir, SHARED)

    def serve(self, door: ServerSocket) -> None:
        """Return once the server answers; give it a keeper if it has none."""
        end = time.monotonic() + PATIENCE_SECONDS
        log = self.data_dir / LOG
        begins: list[int] = []  # of each keeper's part of the log
        while time.monotonic() < end:
            kept = FileLock(self.data_dir / "postgresql.keeper")
            try:
                if kept.try_take(EXCLUSIVE):
                    said = _read_from(log, begins[-1]) if begins else ""
                    if supervisor.GAVE_UP in said or len(begins) == _KEEPERS:
                        raise cluster.failure("PostgreSQL could not be started", said)
                    begins.append(self._begin(log, kept))
                elif door.answers():
                    return
            finally:
                kept.close()
            time.sleep(PAUSE_SECONDS)
        raise EmbeddedError(f"PostgreSQL has not come up in {PATIENCE_SECONDS:.0f} seconds", f"read {log}")

    def _begin(self, log: Path, kept: FileLock) -> int:
        """Start a keeper, born holding the lock `kept`; returns where its part of the log begins."""
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        job = {
            "postgres": self.binaries.program("postgres"),
            "folder": str(self.data_dir / "postgresql"),
            "users": str(self.data_dir / "postgresql.users"),
            "account": self.account.popen,
            "options": self.options,
        }
        out = open_private(log, os.O_WRONLY | os.O_APPEND)
        try:
            begins = os.fstat(out).st_size
            # -I -S: neither the environment's variables nor its packages are read, so it is small and quickly there.
            half = subprocess.Popen(  # noqa: S603 - our own script, no shell
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(job)],
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(kept.fd,),
                start_new_session=True,
            )
            half.wait()  # it leaves the keeper behind, a child of nobody's here
        finally:
            os.close(out)
        return begins


def _can_take(data_dir: Path, kind: int) -> bool:
    lock = FileLock(data_dir / "postgresql.keeper")
    try:
        return lock.try_take(kind)
    finally:
        lock.close()


def _read_from(log: Path, begins: int) -> str:
    with log.open("rb") as file:
        file.seek(begins)
        return file.read(_LOG_TOLD_BYTES).decode(errors="replace")
