"""Starts the real `poller` as a process; all tests use this module for it.

The output of these processes is recorded, and so are the secrets in their settings, input and files. At the end of the
suite the output is searched for the secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests import forkserver
from tests.witness import WITNESS, Witness

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

POLLER: Final = (sys.executable, "-m", "poller")
PATIENCE_SECONDS: Final = 120.0
KEYS: Final = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="
"""The encryption key of the tests, as a value of `POLLER_SECRET_KEYS`."""


@dataclass(frozen=True)
class Ended:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error."""
        (line,) = self.err.splitlines()
        return line


class Heard:
    """A stream of a process; records everything that is read."""

    def __init__(self, source: str, stream: asyncio.StreamReader | None, witness: Witness) -> None:
        assert stream is not None
        self.stream = stream
        self._source = source
        self._witness = witness

    async def readline(self) -> bytes:
        return self._remember(await self.stream.readline())

    async def read(self) -> bytes:
        return self._remember(await self.stream.read())

    def close(self) -> None:
        """Closes our end of the pipe, so that the process writes to a closed pipe."""
        self.stream._transport.close()  # type: ignore[attr-defined]

    def _remember(self, text: bytes) -> bytes:
        self._witness.hear(self._source, text)
        return text


class Running:
    """A running `poller` process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process | forkserver.Forked,
        source: str,
        environ: Mapping[str, str],
        witness: Witness,
    ) -> None:
        self.stdin = process.stdin
        self.stdout = Heard(f"{source} (stdout)", process.stdout, witness)
        self.stderr = Heard(f"{source} (stderr)", process.stderr, witness)
        self.pid = process.pid
        self._process = process
        self._environ = environ
        self._witness = witness

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait(self) -> int:
        return await self._process.wait()

    async def communicate(self, stdin: bytes = b"") -> tuple[bytes, bytes]:
        """Writes the input and reads the whole output until the process ends."""
        assert self.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.stdin.write(stdin)
            await self.stdin.drain()
        self.stdin.close()
        async with asyncio.TaskGroup() as group:
            out, err = group.create_task(self.stdout.read()), group.create_task(self.stderr.read())
        await self.wait()
        _know_key_file(self._environ, self._witness)
        return out.result(), err.result()

    async def end(self) -> None:
        """Kills the process, for a test that failed half-way."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.communicate()


async def start(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    inherit: bool = True,
    cwd: Path | None = None,
    witness: Witness = WITNESS,
    fresh: bool = False,
) -> Running:
    """Starts `poller`; `environ` is added to the environment of this process, or replaces it without `inherit`.

    `fresh`: in a new interpreter, for tests of the start itself. Else the process is forked where its environment
    allows it, which takes a tenth of the time.
    """
    given = {**(os.environ if inherit else {}), **(environ or {})}
    know_input(arguments, given, cwd, witness)
    if not fresh and forkserver.fits(given):
        forked = await forkserver.start("poller", arguments, environ=given, cwd=cwd)
        return Running(forked, f"poller {' '.join(arguments)}", given, witness)
    process = await asyncio.create_subprocess_exec(
        *POLLER,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=given,
        cwd=cwd,
        # An interrupted test ends its processes itself; a Ctrl-C at the terminal must not reach them as well.
        start_new_session=True,
    )
    return Running(process, f"poller {' '.join(arguments)}", given, witness)


async def run(
    *arguments: str,
    stdin: bytes = b"",
    environ: Mapping[str, str] | None = None,
    inherit: bool = True,
    cwd: Path | None = None,
    witness: Witness = WITNESS,
    fresh: bool = False,
) -> Ended:
    """Runs `poller` to its end, with `start`'s arguments and an input."""
    witness.know_text(stdin.decode())
    running = await start(*arguments, environ=environ, inherit=inherit, cwd=cwd, witness=witness, fresh=fresh)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await running.communicate(stdin)
    finally:
        if running.returncode is None:
            await running.end()
    return Ended(await running.wait(), out.decode(), err.decode())


def know_input(
    arguments: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None, witness: Witness = WITNESS
) -> None:
    """Records the secrets in the settings and files of a command."""
    witness.know_settings(environ)
    for path in (((cwd or Path()) / argument) for argument in arguments):
        if path.suffix in {".csv", ".json", ".jsonl"} and path.is_file():
            witness.know_text(path.read_text(encoding="utf-8", errors="replace"))


def _know_key_file(environ: Mapping[str, str], witness: Witness) -> None:
    folder = environ.get("POLLER_DATA_DIR")
    for path in Path(folder).rglob("secret.key") if folder else ():
        with contextlib.suppress(OSError):
            witness.know_settings({"POLLER_SECRET_KEYS": path.read_text().strip()})
