"""A PostgreSQL server for one test, which the test stops, kills, copies while it runs, and promotes.

It listens on a Unix socket without a password; no other user can enter its folder.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from poller.embedded import binaries as programs
from poller.embedded.os_user import os_user_for, run_as
from tests.postgres import KILLED, chosen_binaries

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_SECONDS: Final = 60.0


class Server:
    """One data folder and, once it is started, its server."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.os_user = os_user_for(home, home / "data")
        self.binaries = programs.find(chosen_binaries(), self.os_user, None)
        self._process: subprocess.Popen[bytes] | None = None
        if self.os_user.popen_arguments:
            shutil.chown(home, self.os_user.uid, self.os_user.gid)

    @property
    def dsn(self) -> str:
        """The address of the database `postgres` with the superuser."""
        return f"postgresql://boss@/postgres?host={quote(str(self.home), safe='')}"

    def make(self) -> None:
        """Creates a new cluster."""
        options = ["-U", "boss", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync", "--no-instructions"]
        self._run("initdb", "-D", str(self.home / "data"), *options)

    def copy(self, primary: Server) -> None:
        """Creates a standby of this server, which replicates once it is started."""
        self._run("pg_basebackup", "-D", str(self.home / "data"), "-R", "-X", "stream", "-c", "fast", "-d", primary.dsn)

    def start(self) -> None:
        """Starts the server; returns once it accepts connections."""
        options = [word for name, value in KILLED.items() for word in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.binaries.program("postgres"),
                    "-D",
                    str(self.home / "data"),
                    "-k",
                    str(self.home),
                    "-h",
                    "",
                    *options,
                ],
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.os_user.popen_arguments,
            )
        end = time.monotonic() + PATIENCE_SECONDS
        while run_as(self.os_user, [self.binaries.program("psql"), "-XAtqc", "SELECT 1", self.dsn]).returncode:
            assert time.monotonic() < end, (self.home / "log").read_text()
            assert self._process.poll() is None, (self.home / "log").read_text()
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stops the server: SIGINT for a fast shutdown, SIGQUIT for an immediate stop as after a power failure."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_SECONDS)

    def promote(self) -> None:
        """Promotes a standby."""
        self._run("pg_ctl", "promote", "-D", str(self.home / "data"))

    def _run(self, program: str, *arguments: str) -> None:
        done = run_as(self.os_user, [self.binaries.program(program), *arguments])
        assert done.returncode == 0, done.stderr
