"""A PostgreSQL on loopback that accepts passwords over TLS only, or one without TLS; certificates by trustme."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import asyncpg
import pytest
import trustme

from tests.ports import free_port
from tests.postgres import FAST, chosen_binaries, run_on

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = "clerk"
PASSWORD: Final = "pa55:w/rd"
BINARIES: Final = chosen_binaries() or max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
needs_tls = pytest.mark.skipif(BINARIES is None, reason="no PostgreSQL with TLS: apt-get install postgresql")
HBA: Final = """
local all all trust
hostssl all all 127.0.0.1/32 scram-sha-256
hostnossl all all 127.0.0.1/32 {}
"""


@dataclass(frozen=True)
class Served:
    """One server: `port` on loopback with a certificate of `localhost`; files of its and another authority."""

    local_dsn: str
    port: int
    ca: Path
    other_ca: Path

    def dsn(
        self, query: str = "", *, host: str = "localhost", password: str = PASSWORD, database: str = "books"
    ) -> str:
        """An address with the password percent-encoded."""
        return f"postgresql://{USER}:{quote(password, safe='')}@{host}:{self.port}/{database}{query}"


@contextmanager
def running_on_loopback(*, tls: bool) -> Iterator[Served]:
    """A server with the role `clerk` and its database `books`."""
    with tempfile.TemporaryDirectory(prefix="poller-tls-") as made:
        folder = Path(made)
        authority, stranger = trustme.CA(), trustme.CA()
        certificate = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        stranger.cert_pem.write_to_path(str(folder / "other.pem"))
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        for part in certificate.cert_chain_pems:
            part.write_to_path(str(folder / "cert.pem"), append=True)
        (folder / "hba").write_text(HBA.format("reject" if tls else "scram-sha-256"))
        account = _account(folder, folder / "key.pem")
        port, data = free_port(), folder / "data"
        settings = FAST | {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(folder / "hba")}
        settings |= {"unix_socket_directories": made}
        if tls:
            settings |= {"ssl": "on", "ssl_cert_file": f"{folder}/cert.pem", "ssl_key_file": f"{folder}/key.pem"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        initdb = [_program("initdb"), "-D", str(data), "-U", "poller", "-E", "UTF8", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **account)
        server = subprocess.Popen(
            [_program("postgres"), "-D", str(data), *options], stderr=subprocess.DEVNULL, cwd="/", **account
        )
        try:
            dsn = f"postgresql://poller@/postgres?host={quote(made, safe='')}&port={port}"
            _wait_for(folder / f".s.PGSQL.{port}", server)
            asyncio.run(_run_when_up(dsn, f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"))
            asyncio.run(run_on(dsn, f"CREATE DATABASE books OWNER {USER}"))
            yield Served(dsn, port, folder / "ca.pem", folder / "other.pem")
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()


def _account(*paths: Path) -> dict[str, Any]:
    """The user that runs the server and owns its files, because PostgreSQL refuses to run as root."""
    for path in paths:
        path.chmod(0o700 if path.is_dir() else 0o600)
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert server.poll() is None, "PostgreSQL ended"
        assert time.monotonic() < end, "PostgreSQL does not come up"
        time.sleep(0.05)


async def _run_when_up(dsn: str, statement: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            return await run_on(dsn, statement)
        except (asyncpg.CannotConnectNowError, ConnectionRefusedError):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


def _program(name: str) -> str:
    """A program of Debian's PostgreSQL: the wheel's is built without TLS."""
    assert BINARIES is not None
    return str((BINARIES if BINARIES.is_dir() else BINARIES.parent) / name)
