"""The keeper: parent of one PostgreSQL server, which it ends after the last process that uses it.

Started as a script of its own (`python -I -S keeper.py JOB`), so it imports the standard library alone and stays
small. It detaches, runs the server, and waits for the exclusive lock of the users' file: the kernel grants that when
every user has gone, whichever way. Then it stops the server, still holding the lock, so that newcomers wait and start
anew. A server that dies while it has users is started again.

It refuses to end before its users do: a signal to a whole process group must not take the database away from a poller
that is still writing. If it is killed the server shuts down by itself (Linux), and the next start ends what is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

# Of PostgreSQL's own: the process id is the first line of the one, and the only content that matters of the other.
PID_FILE: Final = "postmaster.pid"
SOCKET: Final = ".s.PGSQL.5432"

# A server that lived this long once did start: from then on it is restarted for ever, with a growing pause.
SERVED_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 30.0
FALSE_STARTS: Final = 3
GAVE_UP: Final = "the server cannot be started"
# Fast shutdown writes a checkpoint: minutes on a slow disk. After that: immediate, and recovery at the next start.
SHUTDOWN_SECONDS: Final = 300.0
ORPHAN_SECONDS: Final = 5.0

_OPENED: Final = "/proc/self/fd"
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def data_argument(folder: Path, fd: int) -> str:
    """How PostgreSQL is told its folder: as the descriptor it inherits, so that it need not enter the folders above.

    Root may start it for a folder below one that only root may enter. (Its working folder would do as well, but up to
    PostgreSQL 15 the programs leave that to find themselves, and come back by the long way.)
    """
    return f"{_OPENED}/{fd}" if Path(_OPENED).exists() else str(folder)


class Supervisor:
    """Runs one server until its users are gone. The job: see `launch.Launch`."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._folder = Path(job["folder"])
        self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._options = [*job["options"], "-c", f"cluster_name={tag_of(self._folder)}"]
        self._ending = threading.Event()
        self._turn = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._die_with_me = _death_signal()

    def run(self) -> int:
        """Keep the server; 0 when it ended after its last user, 1 when it could not be started."""
        end_predecessor(self._folder)
        threading.Thread(target=self._end_after_the_last_user, daemon=True).start()
        false_starts, served, pause = 0, False, 0.1
        while (server := self._spawn()) is not None:
            born = time.monotonic()
            code = server.wait()
            if self._ending.is_set():
                break
            lived = time.monotonic() - born
            say(f"the server ended with {code} after {lived:.1f} s; it has users still")
            if lived >= SERVED_SECONDS:
                served, pause = True, 0.1
            false_starts += 1
            if not served and false_starts >= FALSE_STARTS:
                say(GAVE_UP)
                return 1
            self._ending.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            end_predecessor(self._folder)
        say("the last user has gone and so has the server")
        return 0

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        job = self._job
        with self._turn:
            if self._ending.is_set():
                return None
            # From the main thread: the death signal is sent when the thread that forked ends.
            self._server = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                [job["postgres"], "-D", data_argument(self._folder, self._fd), *self._options],
                cwd="/",
                pass_fds=(self._fd,),
                stdin=subprocess.DEVNULL,
                preexec_fn=self._die_with_me,  # noqa: PLW1509 - one prepared foreign call, nothing that locks
                **job["account"],
            )
            return self._server

    def _end_after_the_last_user(self) -> None:
        users = os.open(self._job["users"], os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(users, fcntl.LOCK_EX)  # never let go: newcomers wait until this process has ended
        with self._turn:
            self._ending.set()
            server = self._server
        if server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGINT)
            time.sleep(SHUTDOWN_SECONDS)
            server.send_signal(signal.SIGQUIT)


def end_predecessor(folder: Path) -> None:
    """End what outlived its keeper, and remove what a dead server left: it would stop the next from starting.

    PostgreSQL itself only asks whether some process has the number in its pid file, which after a restart of the
    machine or in a container is often a stranger's. The children of a killed server end by themselves, but not at
    once, and until then the next cannot start.
    """
    pid = _recorded_pid(folder)
    if pid is not None and is_server_of(pid, folder):
        say(f"ending the server {pid}, whose keeper is gone")
        _signal([pid], signal.SIGINT)
        _wait_for_none(folder, SHUTDOWN_SECONDS)
    elif not _wait_for_none(folder, ORPHAN_SECONDS):
        say("ending the children of a server that is gone")
        _signal(servers_of(folder), signal.SIGQUIT)
        _wait_for_none(folder, ORPHAN_SECONDS)
    if Path(_OPENED).exists():  # elsewhere nobody can tell whose process that is: PostgreSQL decides
        for left in (PID_FILE, f"{SOCKET}.lock"):
            (folder / left).unlink(missing_ok=True)


def tag_of(folder: Path) -> str:
    """The name of the one cluster in that folder; its server and all the server's children bear it."""
    status = folder.stat()
    return f"poller-{status.st_dev:x}-{status.st_ino:x}"


def is_server_of(pid: int, folder: Path) -> bool:
    """Whether that process is a living PostgreSQL of that cluster; never true where there is no /proc.

    Told by its command line, which may be read by all; its working folder tells of one that somebody started by hand,
    but in a container root may not read that of another user's process.
    """
    process = Path("/proc") / str(pid)
    try:
        if not (process / "comm").read_text(encoding="utf-8", errors="replace").startswith("postgres"):
            return False
        command = (process / "cmdline").read_bytes()  # empty: it has ended, and waits for its parent to notice
        return bool(command) and (tag_of(folder).encode() in command or (process / "cwd").samefile(folder))
    except OSError:
        return False


def servers_of(folder: Path) -> list[int]:
    """Every living process of that cluster's server."""
    numbers = (int(entry.name) for entry in Path("/proc").glob("[1-9]*"))
    return [pid for pid in numbers if is_server_of(pid, folder)]


def _wait_for_none(folder: Path, patience_seconds: float) -> bool:
    end = time.monotonic() + patience_seconds
    while servers_of(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def say(fact: str) -> None:
    """One line in the server's log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC keeper [{os.getpid()}]: {fact}\n")
    sys.stderr.flush()


def _recorded_pid(folder: Path) -> int | None:
    try:
        fd = os.open(folder / PID_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        first = file.readline(32).strip()
    return int(first) if first.isdigit() else None


def _death_signal() -> Any:
    """What a child calls to be told of its parent's death by SIGINT (a fast shutdown); None where there is no such."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)


def main() -> None:
    """Detach and keep."""
    job = json.loads(sys.argv[1])
    if os.fork():
        os._exit(0)  # whoever started us waits for this half alone
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os._exit(Supervisor(job).run())


if __name__ == "__main__":
    main()
