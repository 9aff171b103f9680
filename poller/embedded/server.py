"""Starts, joins and leaves the embedded server.

Every function blocks: call it in a thread. Opens no database connection itself; `dsn` is for a driver.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote

from poller.core.errors import EmbeddedError
from poller.embedded import binaries as programs, cluster
from poller.embedded.launcher import MAX_WAIT_SECONDS, Launcher
from poller.embedded.locks import EXCLUSIVE, SHARED, FileLock, locked
from poller.embedded.os_user import os_user_for
from poller.embedded.server_socket import ServerSocket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_STOP_SECONDS: Final = 60.0
_WATCH_SECONDS: Final = 1.0
_MAX_WATCH_SECONDS: Final = 30.0

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "port": "5432",  # only part of the socket's name: the server does not listen on TCP
    # The log is a file beside the data that may be kept for years: it must not contain values of rows.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    # PostgreSQL's defaults, set explicitly: a committed transaction survives a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class Command(NamedTuple):
    """A program to run: its arguments, the folder to run it in (None: any), and its environment."""

    argv: list[str]
    cwd: Path | None
    env: dict[str, str]


class EmbeddedServer:
    """This process's use of a running server: the server runs as long as this is open. Created by `start`.

    If the supervisor is killed, the server ends too. The first of its users to notice starts both again.
    """

    def __init__(self, launcher: Launcher, users: FileLock, socket: ServerSocket) -> None:
        self.data_dir = launcher.data_dir
        self.binaries = launcher.binaries.folder
        self.version = launcher.binaries.version
        self._launcher = launcher
        self._users = users
        self._socket = socket
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._watch_supervisor, name="embedded-watch", daemon=True)
        self._watch.start()

    def dsn(self, database: str = cluster.DATABASE) -> str:
        """The address to connect to, valid in this process and while the server is open. There is no password."""
        socket = f"host={quote(self._socket.folder, safe='')}&port={_SETTINGS['port']}"
        return f"postgresql://{cluster.USER}@/{quote(database, safe='')}?{socket}"

    def accepts_connections(self) -> bool:
        """True if the server accepts connections now."""
        return self._socket.accepts_connections()

    def psql(self, *arguments: str, database: str = cluster.DATABASE) -> Command:
        """The bundled psql for this server, as a command to run while the server is open."""
        return self.program("psql", *arguments, database=database)

    def program(self, name: str, *arguments: str, database: str = cluster.DATABASE) -> Command:
        """A client program of PostgreSQL for this server, as a command to run while the server is open."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "POLLER_"))}
        argv = [str(self.binaries / name), "-U", cluster.USER, "-d", database, *arguments]
        folder = self.data_dir / "postgresql"
        if self._socket.is_short:
            return Command(argv, None, env | {"PGHOST": str(folder)})
        return Command(argv, folder, env | {"PGHOST": "/proc/self/cwd"})

    def close(self) -> None:
        """Leave the server; if no other process uses it, wait until it has stopped."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.join(_STOP_SECONDS)
        try:
            with suppress(EmbeddedError), locked(self.data_dir / "postgresql.start", EXCLUSIVE, _STOP_SECONDS):
                # The start lock keeps other processes from joining now. If neither lock can be taken, the supervisor
                # has the exclusive one and is stopping the server.
                last = self._users.try_take(EXCLUSIVE) or not self._users.try_take(SHARED)
                self._users.close()
                if last:
                    with locked(self.data_dir / "postgresql.keeper", SHARED, _STOP_SECONDS):
                        pass
        finally:
            self._users.close()
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch_supervisor(self) -> None:
        """Until closed: starts another supervisor if the last one has ended."""
        pause = _WATCH_SECONDS
        while not self._closed.wait(pause):
            pause = _WATCH_SECONDS
            try:
                if not self._launcher.has_supervisor():
                    with locked(self.data_dir / "postgresql.start", EXCLUSIVE, _WATCH_SECONDS):
                        self._launcher.serve(self._socket)
            except (EmbeddedError, OSError):  # the server's log has the reason; drivers fail to connect
                pause = _MAX_WATCH_SECONDS


def start(data_dir: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """Starts the server of this data folder, or joins it if it runs already.

    `binaries` is a folder with PostgreSQL's programs, by default the wheel's. `settings` are settings of PostgreSQL in
    addition to the poller's; a running server keeps those it was started with. Raises `EmbeddedError` with a remedy.
    """
    data_dir = data_dir.absolute()
    folder = data_dir / "postgresql"
    options = tuple(
        part for name, value in {**_SETTINGS, **(settings or {})}.items() for part in ("-c", f"{name}={value}")
    )
    with _os_errors_explained(data_dir), ExitStack() as undo:
        make_data_dir(data_dir)
        os_user = os_user_for(data_dir, folder)
        found = programs.find(binaries, os_user, cluster.major_of(folder))
        users = FileLock(data_dir / "postgresql.users")
        undo.callback(users.close)
        with locked(data_dir / "postgresql.start", EXCLUSIVE, MAX_WAIT_SECONDS):
            users.take(SHARED, MAX_WAIT_SECONDS)  # waits for a supervisor that is stopping the last server
            cluster.ensure(folder, found, os_user, options)
            socket = ServerSocket(folder)
            undo.callback(socket.close)
            launcher = Launcher(data_dir, found, os_user, options)
            launcher.serve(socket)
        undo.pop_all()
        return EmbeddedServer(launcher, users, socket)


def is_made(data_dir: Path) -> bool:
    """True if the folder has a cluster, or something that only `start` can identify. Changes nothing."""
    try:
        return any((data_dir / "postgresql").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def make_data_dir(data_dir: Path) -> None:
    """Creates the folder for this user only; refuses one that another user owns or that every user can write."""
    if not data_dir.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = data_dir.stat()
    if os.geteuid() not in {0, status.st_uid}:
        raise EmbeddedError(f"{data_dir} belongs to another user (id {status.st_uid})", _OWN)
    if status.st_mode & 0o002:
        raise EmbeddedError(f"{data_dir} can be written by every user", _OWN)


_OWN: Final = "choose a POLLER_DATA_DIR of your own"


@contextmanager
def _os_errors_explained(data_dir: Path) -> Iterator[None]:
    """Turns an error of the operating system into one with a remedy."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or data_dir}: {os.strerror(error.errno or 0)}"
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise EmbeddedError(what, "free some space and start again" if full else _OWN) from error
