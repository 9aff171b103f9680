"""Runs `poller` as real processes over one PostgreSQL, to test what needs processes: kills and concurrency."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests import command
from tests.command import KEYS
from tests.forkserver import needed_at_start
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.simulator import Simulator


@dataclass(frozen=True)
class Machine:
    """The environment variables of commands, without those of the tests."""

    environ: dict[str, str]

    async def start(self, *arguments: str) -> command.Running:
        return await command.start(*arguments, environ=self.environ, inherit=False)

    async def run(self, *arguments: str, stdin: str = "") -> command.Ended:
        return await command.run(*arguments, stdin=stdin.encode(), environ=self.environ, inherit=False)


def machine(sim: Simulator, database_url: str, **settings: str) -> Machine:
    """A machine whose poller polls the simulated Zoho and uses this database."""
    WITNESS.know_simulator(sim)
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or needed_at_start(name)}
    return Machine(
        {
            **inherited,
            "POLLER_DATABASE_URL": database_url,
            "POLLER_SECRET_KEYS": KEYS,
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
            **settings,
        }
    )


@asynccontextmanager
async def serving(mine: Machine) -> AsyncIterator[command.Running]:
    """Runs `poller run` within the context and stops it at the end; kills it after an error."""
    service = await mine.start("run")
    try:
        async with asyncio.timeout(command.PATIENCE_SECONDS):
            yield service
            with contextlib.suppress(ProcessLookupError):  # the test stopped it, and read its output to the end
                service.send_signal(signal.SIGTERM)
            await service.communicate()
    finally:
        if service.returncode is None:
            await service.end()


@dataclass
class Screen:
    """The text that a terminal has shown until now."""

    text: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def read(self, terminal: int) -> None:
        with contextlib.suppress(OSError):  # the process at the other end has ended
            self.text += os.read(terminal, 4_096).decode(errors="replace")
        self.changed.set()

    async def shows(self, text: str) -> None:
        async with asyncio.timeout(30):
            while text not in self.text:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def at_terminal(mine: Machine, *arguments: str) -> AsyncIterator[tuple[Screen, asyncio.subprocess.Process]]:
    """Runs the command at its own terminal."""
    ours, theirs = pty.openpty()
    screen, loop = Screen(), asyncio.get_running_loop()
    loop.add_reader(ours, screen.read, ours)
    wide = mine.environ | {"TERM": "xterm", "COLUMNS": "400", "PAGER": "cat"}
    process = await asyncio.create_subprocess_exec(
        *command.POLLER, *arguments, env=wide, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        yield screen, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        loop.remove_reader(ours)
        os.close(theirs)
        os.close(ours)
        WITNESS.hear(f"poller {' '.join(arguments)} (at a terminal)", screen.text.encode())
