"""`poller` as real processes over one PostgreSQL, for what only processes show: being killed, and being many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.simulator import Simulator

KEYS = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Machine:
    """Where commands run: an environment, and nothing of the one the tests run in."""

    environ: dict[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "poller", *arguments)
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environ)

    async def run(self, *arguments: str, stdin: str = "") -> Ended:
        process = await self.start(*arguments)
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate(stdin.encode())
        finally:
            await kill(process)
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


def machine(sim: Simulator, database_url: str, **settings: str) -> Machine:
    """A machine whose poller asks the simulated Zoho and keeps what it says in that database."""
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in os.environ}
    return Machine(
        {
            **inherited,
            "POLLER_DATABASE_URL": database_url,
            "POLLER_SECRET_KEYS": KEYS,
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
            **settings,
        }
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    """As `kill -9` does it, and wait until it is dead."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
