"""Starting, joining and leaving the embedded server.

Blocking throughout: call it in a thread. It opens no connection for anybody; the DSN is for a driver's use.
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
from poller.embedded.launcher import PATIENCE_SECONDS, Launcher
from poller.embedded.locks import EXCLUSIVE, SHARED, FileLock, held
from poller.embedded.os_user import account_for
from poller.embedded.server_socket import ServerSocket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_STOP_SECONDS: Final = 60.0
_WATCH_SECONDS: Final = 1.0
_LONGEST_WATCH_SECONDS: Final = 30.0

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "port": "5432",  # in the name of the socket: there is no TCP
    # The log is a file beside the data, kept for years: facts of the server, never a value of a row.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    # PostgreSQL's own defaults, said aloud: what was committed outlasts a power cut.
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
    """This process's part in a running server: as long as it is open the server runs. Made by `start`.

    Should the keeper be killed, which ends the server, the first of its users to notice brings both back.
    """

    def __init__(self, launch: Launcher, users: FileLock, door: ServerSocket) -> None:
        self.data_dir = launch.data_dir
        self.binaries = launch.binaries.folder
        self.version = launch.binaries.version
        self._launch = launch
        self._users = users
        self._door = door
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._bring_back, name="embedded-watch", daemon=True)
        self._watch.start()

    def dsn(self, database: str = cluster.DATABASE) -> str:
        """Where to connect, while the server is open and in this process only. There is no password."""
        place = f"host={quote(self._door.folder, safe='')}&port={_SETTINGS['port']}"
        return f"postgresql://{cluster.USER}@/{quote(database, safe='')}?{place}"

    def answers(self) -> bool:
        """Whether it lets us in at this moment."""
        return self._door.answers()

    def psql(self, *arguments: str, database: str = cluster.DATABASE) -> Command:
        """The bundled psql on this server, as a command to run while the server is open."""
        return self.program("psql", *arguments, database=database)

    def program(self, name: str, *arguments: str, database: str = cluster.DATABASE) -> Command:
        """One of PostgreSQL's client programs on this server, as a command to run while the server is open."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "POLLER_"))}
        argv = [str(self.binaries / name), "-U", cluster.USER, "-d", database, *arguments]
        place = self.data_dir / "postgresql"
        if self._door.is_short:
            return Command(argv, None, env | {"PGHOST": str(place)})
        return Command(argv, place, env | {"PGHOST": "/proc/self/cwd"})

    def close(self) -> None:
        """Leave the server, and see it end if nobody else uses it."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.join(_STOP_SECONDS)
        try:
            with suppress(EmbeddedError), held(self.data_dir / "postgresql.start", EXCLUSIVE, _STOP_SECONDS):
                # Nobody joins meanwhile. Refused both ways: the keeper has it, and is ending the server.
                last = self._users.try_take(EXCLUSIVE) or not self._users.try_take(SHARED)
                self._users.close()
                if last:
                    with held(self.data_dir / "postgresql.keeper", SHARED, _STOP_SECONDS):
                        pass
        finally:
            self._users.close()
            self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bring_back(self) -> None:
        """Look after the keeper until closed: whoever outlives it starts another."""
        pause = _WATCH_SECONDS
        while not self._closed.wait(pause):
            pause = _WATCH_SECONDS
            try:
                if not self._launch.has_keeper():
                    with held(self.data_dir / "postgresql.start", EXCLUSIVE, _WATCH_SECONDS):
                        self._launch.serve(self._door)
            except (EmbeddedError, OSError):  # the server's log says why; drivers see that nobody answers
                pause = _LONGEST_WATCH_SECONDS


def start(data_dir: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """The server of this data folder: started, or joined where a process runs it already.

    `binaries` is a folder with PostgreSQL's programs, the wheel's by default. `settings` are PostgreSQL's own, added
    to ours; a server that runs already keeps those it was started with. An `EmbeddedError` says what to mend.
    """
    data_dir = data_dir.absolute()
    place = data_dir / "postgresql"
    options = tuple(
        part for name, value in {**_SETTINGS, **(settings or {})}.items() for part in ("-c", f"{name}={value}")
    )
    with _in_words(data_dir), ExitStack() as undo:
        make_data_dir(data_dir)
        account = account_for(data_dir, place)
        found = programs.find(binaries, account, cluster.major_of(place))
        users = FileLock(data_dir / "postgresql.users")
        undo.callback(users.close)
        with held(data_dir / "postgresql.start", EXCLUSIVE, PATIENCE_SECONDS):
            users.take(SHARED, PATIENCE_SECONDS)  # waits for a keeper that is ending the last server
            cluster.ensure(place, found, account, options)
            door = ServerSocket(place)
            undo.callback(door.close)
            launch = Launcher(data_dir, found, account, options)
            launch.serve(door)
        undo.pop_all()
        return EmbeddedServer(launch, users, door)


def is_made(data_dir: Path) -> bool:
    """Whether the folder has a cluster, or something that `start` must look at to tell; changes nothing."""
    try:
        return any((data_dir / "postgresql").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def make_data_dir(data_dir: Path) -> None:
    """Make the folder, for this user alone; refuse one that another user owns or anybody may write."""
    if not data_dir.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = data_dir.stat()
    if os.geteuid() not in {0, status.st_uid}:
        raise EmbeddedError(f"{data_dir} belongs to another user (id {status.st_uid})", _OWN)
    if status.st_mode & 0o002:
        raise EmbeddedError(f"{data_dir} can be written by every user", _OWN)


_OWN: Final = "choose a POLLER_DATA_DIR of your own"


@contextmanager
def _in_words(data_dir: Path) -> Iterator[None]:
    """What the operating system refuses, as an error a person can act upon."""
    try:
        yield
    except OSError as refusal:
        what = f"{refusal.filename or data_dir}: {os.strerror(refusal.errno or 0)}"
        full = refusal.errno in {errno.ENOSPC, errno.EDQUOT}
        raise EmbeddedError(what, "free some space and start again" if full else _OWN) from refusal
