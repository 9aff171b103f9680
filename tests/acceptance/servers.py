"""PostgreSQL as an operator runs it: a superuser, a role for the poller with a password, TCP and a Unix socket.

There is a server for every version found here: in the wheel, in Debian's folders, in the PATH. The poller's own
launcher does not start these servers, because it does not use passwords.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from poller.core.errors import EmbeddedError
from poller.embedded import binaries as programs
from poller.embedded.os_user import OsUser, os_user_for, run_as

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.embedded.binaries import Binaries

PASSWORD: Final = "a long/password:with@everything"
MAJORS: Final = (15, 16, 17, 18, 19)
_PATIENCE_SECONDS: Final = 60.0
_TRIES: Final = 5


@dataclass(frozen=True)
class Server:
    """The addresses of a server, with the poller's role."""

    major: int
    port: int
    folder: Path

    @property
    def tcp(self) -> str:
        return f"postgresql://poller:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/poller"

    @property
    def unix(self) -> str:
        host = quote(str(self.folder), safe="")
        return f"postgresql://poller:{quote(PASSWORD, safe='')}@/poller?host={host}&port={self.port}"


def found(major: int) -> Path | None:
    """The folders with programs of this version."""
    places = [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")]
    with suppress(EmbeddedError):
        places.extend(programs._in_wheel())
    in_path = shutil.which("postgres")
    places.extend([Path(in_path).resolve().parent] if in_path else [])
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            said = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
            if f") {major}." in said:
                return place
    return None


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Runs a server of these programs for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="poller-pg-") as name:
        home = Path(name)
        os_user = os_user_for(home, home / "data")
        found = programs.find(folder, os_user, None)
        if os_user.popen_arguments:
            shutil.chown(home, os_user.uid, os_user.gid)
        _initialise(found, os_user, home)
        for attempt in range(_TRIES):
            port = _free_port()
            process = _start(found, os_user, home, port)
            try:
                if not _answers(process, port):
                    assert attempt < _TRIES - 1, (home / "log").read_text()
                    continue
                _boss(found, os_user, home, port, f"CREATE ROLE poller LOGIN PASSWORD '{PASSWORD}'")
                _boss(found, os_user, home, port, "CREATE DATABASE poller OWNER poller")
                yield Server(int(found.major), port, home)
                return
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
                process.wait(_PATIENCE_SECONDS)


def _initialise(found: Binaries, os_user: OsUser, home: Path) -> None:
    # Files, since a command line can be read by everybody.
    secret, escaped = home / "password", PASSWORD.replace(":", r"\:")
    for file, text in ((secret, PASSWORD), (home / "passfile", f"*:*:*:boss:{escaped}")):
        file.touch(mode=0o600)
        file.write_text(f"{text}\n")
        if os_user.popen_arguments:
            shutil.chown(file, os_user.uid, os_user.gid)
    password = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--no-instructions"]
    argv = [found.program("initdb"), "-D", str(home / "data"), "-U", "boss", "-E", "UTF8", "--locale=C", *password]
    done = run_as(os_user, argv)
    assert done.returncode == 0, done.stderr


def _start(found: Binaries, os_user: OsUser, home: Path, port: int) -> subprocess.Popen[bytes]:
    with (home / "log").open("wb") as log:
        options = ["-k", str(home), "-p", str(port), "-h", "127.0.0.1", "-F"]
        return subprocess.Popen(
            [found.program("postgres"), "-D", str(home / "data"), *options],
            cwd="/",
            stdout=log,
            stderr=log,
            **os_user.popen_arguments,
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server is up; False if it ended, for example because another process took its port."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS).close()
        except ConnectionRefusedError:
            continue
        return process.poll() is None
    return False


def _boss(found: Binaries, os_user: OsUser, home: Path, port: int, statement: str) -> None:
    """Runs a statement as the superuser once the server accepts connections."""
    address = f"postgresql://boss@/postgres?host={quote(str(home), safe='')}&port={port}&passfile={home / 'passfile'}"
    argv = [found.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d", address]
    while True:
        done = run_as(os_user, argv, stdin=statement)
        if "starting up" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
