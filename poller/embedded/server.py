"""Starting, joining and leaving the embedded server.

Blocking throughout: call it in a thread. It opens no connection for anybody; the DSN is for a driver's use.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote

from poller.core.errors import EmbeddedError
from poller.embedded import binaries as programs, cluster, keeper
from poller.embedded.account import ENVIRONMENT, Account, account_for
from poller.embedded.locks import EXCLUSIVE, PAUSE_SECONDS, SHARED, FileLock, held, open_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Recovery of a crashed cluster replays at most max_wal_size (1 GB): minutes on a slow disk, never ten.
PATIENCE_SECONDS: Final = 600.0
_STOP_SECONDS: Final = 60.0
_LOG: Final = "postgresql.log"
_LOG_BYTES: Final = 1 << 20
_LONGEST_SOCKET_PATH: Final = 103 if sys.platform == "darwin" else 107  # sun_path of sys/un.h, less its last NUL
_FD_FOLDER: Final = "/proc/self/fd"

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "port": "5432",  # of a socket file inside the cluster: there is no TCP
    # The log is a file beside the data, kept for years: facts of the server, never a value of a row.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class Command(NamedTuple):
    """A program to run: its arguments, the folder to run it in (None: wherever), and its environment."""

    argv: list[str]
    cwd: Path | None
    env: dict[str, str]


class EmbeddedServer:
    """This process's part in a running server: as long as it is open the server runs. Made by `start`."""

    def __init__(self, data_dir: Path, found: programs.Binaries, users: FileLock) -> None:
        self.data_dir = data_dir
        self.binaries = found.folder
        self.version = found.version
        self._cluster = data_dir / "postgresql"
        self._users = users
        self.door = Door(self._cluster)

    def dsn(self, database: str = cluster.DATABASE) -> str:
        """Where to connect, for this process only: a path of its own may be in it. There is no password."""
        return f"postgresql://{cluster.USER}@/{quote(database, safe='')}?host={quote(self.door.folder, safe='')}"

    def psql(self, *arguments: str, database: str = cluster.DATABASE) -> Command:
        """The bundled psql on this server, as a command to run while the server is open."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "POLLER_"))}
        argv = [str(self.binaries / "psql"), "-U", cluster.USER, "-d", database, *arguments]
        env["PGPORT"] = _SETTINGS["port"]
        if self.door.is_short:
            return Command(argv, None, env | {"PGHOST": str(self._cluster)})
        return Command(argv, self._cluster, env | {"PGHOST": "/proc/self/cwd"})

    def close(self) -> None:
        """Leave the server, and see it end if nobody else uses it."""
        if self._users.fd < 0:
            return
        self.door.close()
        try:
            with held(self.data_dir / "postgresql.start", EXCLUSIVE, _STOP_SECONDS):
                # Nobody joins meanwhile. Refused both ways: the keeper has it, and is ending the server.
                last = self._users.try_take(EXCLUSIVE) or not self._users.try_take(SHARED)
                self._users.close()
                if last:
                    with held(self.data_dir / "postgresql.keeper", SHARED, _STOP_SECONDS):
                        pass
        except EmbeddedError:  # somebody is slow to start or stop: theirs to report
            pass
        finally:
            self._users.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Door:
    """The folder of the server's socket, under a name short enough for a socket address."""

    def __init__(self, folder: Path) -> None:
        self.is_short = len(os.fsencode(folder / keeper.SOCKET)) <= _LONGEST_SOCKET_PATH
        self._fd = -1
        self.folder = str(folder)
        if not self.is_short:
            if not Path(_FD_FOLDER).exists():
                raise EmbeddedError(f"{folder} is too long a path for a socket", "choose a shorter POLLER_DATA_DIR")
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.folder = f"{_FD_FOLDER}/{self._fd}"

    def answers(self) -> bool:
        """Whether a server lets us in: it is up, and not still starting or already ending."""
        parameters = f"user\0{cluster.USER}\0database\0{cluster.DATABASE}\0\0".encode()
        hello = (len(parameters) + 8).to_bytes(4) + (3 << 16).to_bytes(4) + parameters  # protocol 3.0
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            try:
                link.connect(f"{self.folder}/{keeper.SOCKET}")
                link.sendall(hello)
                reply = link.recv(1024)
                if reply.startswith(b"R"):
                    link.sendall(b"X\0\0\0\4")  # Terminate
            except OSError:
                return False
        # Any other refusal (too many connections, say) comes from a server that is up. 57P03: cannot connect now.
        return bool(reply) and b"C57P03\0" not in reply

    def close(self) -> None:
        """Let go of the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def start(data_dir: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """The server of this data folder: started, or joined where a process runs it already.

    `binaries` is a folder with PostgreSQL's programs, the wheel's by default. `settings` are PostgreSQL's own, added
    to ours; a server that runs already keeps those it was started with. An `EmbeddedError` says what to mend.
    """
    data_dir = data_dir.absolute()
    with _in_words(data_dir):
        _make_data_dir(data_dir)
        place = data_dir / "postgresql"
        account = account_for(data_dir, place)
        found = programs.find(binaries, account, cluster.major_of(place))
        options = [
            part for name, value in {**_SETTINGS, **(settings or {})}.items() for part in ("-c", f"{name}={value}")
        ]
        users = FileLock(data_dir / "postgresql.users")
        try:
            with held(data_dir / "postgresql.start", EXCLUSIVE, PATIENCE_SECONDS):
                users.take(SHARED, PATIENCE_SECONDS)  # waits for a keeper that is ending the last server
                cluster.ensure(place, found, account, options)
                server = EmbeddedServer(data_dir, found, users)
                _serve(server, found, account, options)
        except BaseException:
            users.close()
            raise
        return server


def _serve(server: EmbeddedServer, found: programs.Binaries, account: Account, options: list[str]) -> None:
    """Return once the server answers; give it a keeper if it has none."""
    end = time.monotonic() + PATIENCE_SECONDS
    log = server.data_dir / _LOG
    launched_at: int | None = None
    while time.monotonic() < end:
        kept = FileLock(server.data_dir / "postgresql.keeper")
        try:
            if kept.try_take(EXCLUSIVE):
                if launched_at is not None:
                    raise cluster.failure("PostgreSQL could not be started", _read_from(log, launched_at))
                launched_at = _launch(server.data_dir, kept, found, account, options)
            elif server.door.answers():
                return
        finally:
            kept.close()
        time.sleep(PAUSE_SECONDS)
    raise EmbeddedError(f"PostgreSQL has not come up in {PATIENCE_SECONDS:.0f} seconds", f"read {log}")


def _launch(data_dir: Path, kept: FileLock, found: programs.Binaries, account: Account, options: list[str]) -> int:
    """Start a keeper, which inherits the lock `kept`; returns where its part of the log begins."""
    log = data_dir / _LOG
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    job = {
        "postgres": found.program("postgres"),
        "folder": str(data_dir / "postgresql"),
        "users": str(data_dir / "postgresql.users"),
        "account": account.popen,
        "options": options,
    }
    out = open_private(log, os.O_WRONLY | os.O_APPEND)
    try:
        begins = os.fstat(out).st_size
        # -I -S: neither the shell's nor the environment's packages are read, so it is small and starts at once.
        detached = subprocess.Popen(  # noqa: S603 - our own script, no shell
            [sys.executable, "-I", "-S", keeper.__file__, json.dumps(job)],
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(kept.fd,),
            start_new_session=True,
        )
        detached.wait()
    finally:
        os.close(out)
    return begins


def _read_from(log: Path, begins: int) -> str:
    with log.open("rb") as file:
        file.seek(begins)
        return file.read(64 << 10).decode(errors="replace")


def _make_data_dir(data_dir: Path) -> None:
    if not data_dir.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = data_dir.stat()
    if os.geteuid() not in {0, status.st_uid}:
        raise EmbeddedError(
            f"{data_dir} belongs to another user (id {status.st_uid})", "choose another POLLER_DATA_DIR"
        )
    if status.st_mode & 0o002:
        raise EmbeddedError(f"{data_dir} can be written by anybody", "choose a POLLER_DATA_DIR of your own")


@contextmanager
def _in_words(data_dir: Path) -> Iterator[None]:
    """What the operating system refuses, as an error a person can act upon."""
    try:
        yield
    except OSError as refusal:
        what = f"{refusal.filename or data_dir}: {os.strerror(refusal.errno or 0)}"
        if refusal.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise EmbeddedError(what, "free some space and start again") from refusal
        raise EmbeddedError(what, "choose a POLLER_DATA_DIR that is yours to write in") from refusal
