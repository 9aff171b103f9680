"""The supervisor: the parent process of one PostgreSQL server, which it stops after the last process that uses it.

Runs as a script of its own (`python -I -S supervisor.py JOB`), so it imports only the standard library and stays small.
It detaches, runs the server, and waits for the exclusive lock of the users' file, which the kernel grants when every
user has ended, even by a crash. Then it stops the server while it holds the lock, so that new users wait and start
another server. A server that ends while it has users is restarted.

The supervisor ignores signals while it has users: a signal to a whole process group must not stop the database under a
poller that is still writing. If the supervisor is killed, the server shuts down (on Linux), and the next start ends the
processes that are left.
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

# Files of PostgreSQL. The first line of the pid file is the server's process id.
PID_FILE: Final = "postmaster.pid"
SOCKET: Final = ".s.PGSQL.5432"

# A server that ran for this long has started: from then on it is always restarted, with growing pauses.
SERVED_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 30.0
FALSE_STARTS: Final = 3
GAVE_UP: Final = "the server cannot be started"
# A fast shutdown writes a checkpoint: minutes on a slow disk. After that, an immediate one, with recovery at the next
# start.
SHUTDOWN_SECONDS: Final = 300.0
ORPHAN_SECONDS: Final = 5.0

_OPEN_FILES: Final = "/proc/self/fd"
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def data_argument(folder: Path, fd: int) -> str:
    """The data folder as an argument for PostgreSQL: an inherited descriptor, so that it need not enter parent folders.

    Root may start the server for a folder below one that only root may enter. (The working folder does not help:
    programs up to PostgreSQL 15 leave it to find their own path, and return to it by its full path.)
    """
    return f"{_OPEN_FILES}/{fd}" if Path(_OPEN_FILES).exists() else str(folder)


class Supervisor:
    """Runs one server until its last user has ended. `launcher.Launcher` makes the job."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._folder = Path(job["folder"])
        self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._options = [*job["options"], "-c", f"cluster_name={tag_of(self._folder)}"]
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._end_with_parent = _death_signal()

    def run(self) -> int:
        """Run the server; returns 0 after its last user has ended, 1 if the server cannot be started."""
        end_predecessor(self._folder)
        threading.Thread(target=self._end_after_the_last_user, daemon=True).start()
        false_starts, served, pause = 0, False, 0.1
        while (server := self._spawn()) is not None:
            started_at = time.monotonic()
            code = server.wait()
            if self._ending.is_set():
                break
            seconds = time.monotonic() - started_at
            log(f"the server ended with code {code} after {seconds:.1f} s, and processes still use it: restarting it")
            if seconds >= SERVED_SECONDS:
                served, pause = True, 0.1
            false_starts += 1
            if not served and false_starts >= FALSE_STARTS:
                log(GAVE_UP)
                return 1
            self._ending.wait(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
            end_predecessor(self._folder)
        log("the last process that used the server has ended; the server has stopped")
        return 0

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        job = self._job
        with self._lock:
            if self._ending.is_set():
                return None
            # In the main thread: the kernel sends the death signal when the thread that forked ends.
            self._server = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                [job["postgres"], "-D", data_argument(self._folder, self._fd), *self._options],
                cwd="/",
                pass_fds=(self._fd,),
                stdin=subprocess.DEVNULL,
                preexec_fn=self._end_with_parent,  # noqa: PLW1509 - one prepared system call, which takes no lock
                **job["os_user"],
            )
            return self._server

    def _end_after_the_last_user(self) -> None:
        users = os.open(self._job["users"], os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(users, fcntl.LOCK_EX)  # never released: new users wait until this process has ended
        with self._lock:
            self._ending.set()
            server = self._server
        if server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGINT)
            time.sleep(SHUTDOWN_SECONDS)
            server.send_signal(signal.SIGQUIT)


def end_predecessor(folder: Path) -> None:
    """Ends the processes of a server whose supervisor has ended, and removes the files that would stop a new server.

    PostgreSQL only checks whether a process with the number in its pid file exists. After a restart of the machine, or
    in a container, that is often another program. The children of a killed server end a little later than the server,
    and until then the next server cannot start.
    """
    pid = _recorded_pid(folder)
    if pid is not None and is_server_of(pid, folder):
        log(f"ending the server {pid}, whose supervisor has ended")
        _signal([pid], signal.SIGINT)
        _wait_for_none(folder, SHUTDOWN_SECONDS)
    elif not _wait_for_none(folder, ORPHAN_SECONDS):
        log("ending the child processes of a server that has ended")
        _signal(servers_of(folder), signal.SIGQUIT)
        _wait_for_none(folder, ORPHAN_SECONDS)
    if Path(_OPEN_FILES).exists():  # without /proc the process cannot be identified, so PostgreSQL decides
        for name in (PID_FILE, f"{SOCKET}.lock"):
            (folder / name).unlink(missing_ok=True)


def tag_of(folder: Path) -> str:
    """The cluster name of that folder, which appears in the command lines of its server's processes."""
    status = folder.stat()
    return f"poller-{status.st_dev:x}-{status.st_ino:x}"


def is_server_of(pid: int, folder: Path) -> bool:
    """True if that process is a running PostgreSQL of that cluster. Always False on systems without /proc.

    Identified by its command line, which every user may read, or by its working folder if a person started it; in a
    container, root may not read the working folder of another user's process.
    """
    process = Path("/proc") / str(pid)
    try:
        if not (process / "comm").read_text(encoding="utf-8", errors="replace").startswith("postgres"):
            return False
        command = (
            process / "cmdline"
        ).read_bytes()  # empty if the process has ended and its parent has not noticed yet
        return bool(command) and (tag_of(folder).encode() in command or (process / "cwd").samefile(folder))
    except OSError:
        return False


def servers_of(folder: Path) -> list[int]:
    """The running processes of that cluster's server."""
    numbers = (int(entry.name) for entry in Path("/proc").glob("[1-9]*"))
    return [pid for pid in numbers if is_server_of(pid, folder)]


def _wait_for_none(folder: Path, max_wait: float) -> bool:
    end = time.monotonic() + max_wait
    while servers_of(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def log(message: str) -> None:
    """Write one line to the server's log."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    sys.stderr.write(f"{at} UTC supervisor [{os.getpid()}]: {message}\n")
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
    """A function for the child that asks the kernel for SIGINT (a fast shutdown) when its parent ends; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)


def main() -> None:
    """Detach and run the supervisor."""
    job = json.loads(sys.argv[1])
    if os.fork():
        os._exit(0)  # the process that started this one waits only for this parent
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os._exit(Supervisor(job).run())


if __name__ == "__main__":
    main()
