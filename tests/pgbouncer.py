"""A real PgBouncer between a test and its PostgreSQL, on a Unix socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
PORT: Final = 6432
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed: apt-get install pgbouncer")


@contextmanager
def running_pgbouncer(dsn: str, **settings: str | int) -> Iterator[str]:
    """The address of the database at `dsn` through a PgBouncer with default settings, changed by `settings`."""
    assert PROGRAM is not None
    server = urlsplit(dsn)
    (host,) = parse_qs(server.query)["host"]
    name = server.path.lstrip("/")
    with tempfile.TemporaryDirectory(prefix="poller-pgbouncer-") as made:
        folder = Path(made)
        (folder / "users").write_text(f'"{server.username}" ""\n')
        options = {
            "unix_socket_dir": folder,
            "listen_port": PORT,
            "auth_type": "trust",
            "auth_file": folder / "users",
            "logfile": folder / "log",
        } | settings
        lines = [f"{key} = {value}" for key, value in options.items()]
        (folder / "ini").write_text(f"[databases]\n* = host={host}\n\n[pgbouncer]\n" + "\n".join(lines) + "\n")
        command = [PROGRAM, "-q", str(folder / "ini")]
        if os.geteuid() == 0:
            # It refuses to be root; the server's user may not enter the folders that lead to its own.
            user = pwd.getpwuid(Path(host).stat().st_uid).pw_name
            shutil.chown(folder, user)
            for parent in Path(host).parents:
                if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                    parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
            command[1:1] = ["-u", user]
        process = subprocess.Popen(command)
        try:
            _wait_for(folder / f".s.PGSQL.{PORT}", process)
            yield f"postgresql://{server.username}@/{name}?host={quote(made, safe='')}&port={PORT}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                return
        except OSError:
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < end, "pgbouncer does not answer"
            time.sleep(0.02)
