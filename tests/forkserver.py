"""Starts `poller` as a process without loading its modules each time: a process that has loaded them forks itself.

The fork is a process of its own: it has its own id, session, environment, working directory and standard streams, it
gets signals, and it ends with its own exit code. Only the start of the interpreter is not its own, so a variable that
the interpreter or a library reads then needs a new interpreter: see `fits`.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT: Final = Path(__file__).parents[1]
_LONGEST: Final = 200_000
"""Bytes of a request: arguments, working directory and environment."""
_ANY: Final = ("POLLER_", "PYTEST_", "PYTHONDONTWRITEBYTECODE", "XDG_", "HOME", "PATH", "PWD", "OLDPWD", "SHLVL")
"""Names of variables begin with one of these if they may have any value, because commands read them while they run."""
_SAME: Final = (
    "PYTHON", "LC_", "LANG", "LD_", "TZ", "SSL_", "MALLOC_", "OPENBLAS_", "OTEL_", "FORCE_COLOR", "PY_COLORS",
    "GITHUB_ACTIONS", "TERMINAL_WIDTH",
)  # fmt: skip
"""And with one of these if they must not be missing either."""
_LOADED_FIRST: Final = ("alembic.command", "sqlalchemy.ext.asyncio")
_LOADED_LATER: Final = frozenset({"poller.export.parquet_file"})
"""Modules that start threads: pyarrow has one that frees memory, and a fork may stop for ever at its locks."""


class Forked:
    """A forked process, with those parts of `asyncio.subprocess.Process` that tests use."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._told = b""
        self._started = asyncio.Event()
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def started(self, status: int) -> None:
        """Waits until the server has said the id of the process; from then on it says the exit code, too."""
        loop = asyncio.get_running_loop()
        loop.add_reader(status, self._hear, loop, status)
        await self._started.wait()
        assert self.pid, "the fork server has ended"

    def _hear(self, loop: asyncio.AbstractEventLoop, status: int) -> None:
        text = os.read(status, 100)
        self._told += text
        lines = self._told.split(b"\n")[:-1]
        self.pid = int(lines[0]) if lines else 0
        if lines or not text:
            self._started.set()
        if len(lines) > 1 or not text:
            self.returncode = int(lines[1]) if len(lines) > 1 else -signal.SIGKILL
            loop.remove_reader(status)
            os.close(status)
            self._ended.set()


def needed_at_start(name: str) -> bool:
    """Whether the interpreter or a library reads this variable when it starts."""
    return name.startswith(_SAME) and not name.startswith(_ANY)


def fits(environ: Mapping[str, str]) -> bool:
    """Whether a process with this environment may be forked."""
    mine = os.environ
    return all(name in environ for name in mine if needed_at_start(name)) and all(
        name.startswith(_ANY) or mine.get(name) == value for name, value in environ.items()
    )


async def start(
    module: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    output: int | None = None,
) -> Forked:
    """Runs `python -m module`, with pipes for its standard streams, or with its output to the open file `output`."""
    forked = Forked()
    status, told = os.pipe()
    streams = (
        await _pipes(forked) if output is None else (os.open(os.devnull, os.O_RDONLY), os.dup(output), os.dup(output))
    )
    request = json.dumps([module, list(arguments), str(cwd or Path.cwd()), dict(environ)]).encode()
    assert len(request) < _LONGEST
    try:
        socket.send_fds(_server(), [request], [*streams, told])
    finally:
        for number in (*streams, told):
            os.close(number)
    await forked.started(status)
    return forked


async def _pipes(forked: Forked) -> tuple[int, int, int]:
    """Connects the streams of a process to pipes; returns the other ends."""
    loop = asyncio.get_running_loop()
    (stdin, ours), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, open(ours, "wb", 0))  # noqa: SIM115, PTH123, ASYNC230
    forked.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
    forked.stdout, forked.stderr = asyncio.StreamReader(), asyncio.StreamReader()
    for reader, number in ((forked.stdout, out), (forked.stderr, err)):
        connected = asyncio.StreamReaderProtocol(reader)
        await loop.connect_read_pipe(lambda connected=connected: connected, open(number, "rb", 0))  # type: ignore[misc]  # noqa: SIM115, PTH123, ASYNC230
    return stdin, stdout, stderr


@cache
def _server() -> socket.socket:
    """Our end of the connection to the process that forks; it ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=_ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# --- the process that forks ------------------------------------------------------------------------------------------


def load() -> None:
    """Imports every module of the poller that starts no threads, and what they import later; makes what they keep."""
    import poller

    for module in pkgutil.walk_packages(poller.__path__, "poller."):
        if not module.name.endswith("__main__") and module.name not in _LOADED_LATER:
            import_module(module.name)
    for name in _LOADED_FIRST:
        import_module(name)
    _make_what_is_kept()
    threads = [*Path("/proc/self/task").iterdir()]
    assert len(threads) == 1, "a module started a thread: add it to _LOADED_LATER"
    gc.collect()
    gc.freeze()


def _make_what_is_kept() -> None:
    """Makes what a process keeps: the code of the pages, the description of the API, the system's authorities."""
    from poller.web.api.endpoints import ENDPOINTS
    from poller.web.api.openapi import shared_document
    from poller.web.loop_share import LoopShare
    from poller.web.pages.rendering import Renderer
    from poller.zoho.client import system_trust

    Renderer(LoopShare())
    shared_document(ENDPOINTS)
    system_trust()


def serve(control: socket.socket) -> tuple[str, list[str]]:
    """Forks a process for each request and says when it ends; returns in the forks, with what they are to run."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(1_000)
            _say_which_ended(running)
        if control in ready:
            request, numbers, _, _ = socket.recv_fds(control, _LONGEST, 4)
            if not request:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                for one in (control, woken, wake):
                    one.detach()
                return _become(request, numbers)
            *streams, told = numbers
            running[pid] = told
            os.write(told, f"{pid}\n".encode())
            for number in streams:
                os.close(number)


def _say_which_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        with suppress(BrokenPipeError):
            os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(told)


def _become(request: bytes, numbers: list[int]) -> tuple[str, list[str]]:
    """Turns this fork into the process that was asked for; returns the module to run and its arguments."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, ours in zip(numbers, (0, 1, 2), strict=False):
        os.dup2(number, ours)
    os.closerange(3, 1_024)
    _open_standard_streams()
    module, arguments, folder, environ = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    return module, arguments


def _open_standard_streams() -> None:
    """Replaces the streams of the process that forks, which took note of what kind of files those were."""
    for name, number, mode, buffering in (("stdin", 0, "r", -1), ("stdout", 1, "w", -1), ("stderr", 2, "w", 1)):
        old = getattr(sys, name)
        new = open(number, mode, buffering, old.encoding, old.errors, newline="\n", closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


if __name__ == "__main__":
    load()
    asked, words = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = [asked, *words]
    runpy.run_module(asked, run_name="__main__", alter_sys=True)
