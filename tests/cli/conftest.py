"""The command line in this process, over a database of its own; and as a process, for what only a process shows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import structlog

from poller.cli import run
from poller.settings import NAMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

KEYS = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error."""
        (line,) = self.err.splitlines()
        return line


@pytest.fixture(autouse=True)
def bare_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variable and no `.env` of the machine the tests run on; the log as it was, afterwards."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POLLER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def poller(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`poller("orgs", "list")` in this process."""

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return call


@pytest.fixture
def on_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """Settings that name a migrated, empty database; its address."""
    monkeypatch.setenv("POLLER_DATABASE_URL", database_url)
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEYS)
    return database_url


@pytest.fixture
def process() -> Callable[..., Awaitable[Ended]]:
    """`await process("orgs", "list", stdin=b"…")`: the same as a process of its own."""

    async def call(*arguments: str, stdin: bytes = b"", environ: dict[str, str] | None = None) -> Ended:
        async with asyncio.timeout(60):
            started = await start(*arguments, environ=environ)
            out, err = await started.communicate(stdin)
        assert started.returncode is not None
        return Ended(started.returncode, out.decode(), err.decode())

    return call


async def start(*arguments: str, environ: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "poller",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """For a test that failed half-way."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
