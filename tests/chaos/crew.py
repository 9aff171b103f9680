"""Three workers that are restarted when they end, as by a service manager."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from tests import forkserver
from tests.chaos.storm import WORKERS
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGAIN_SECONDS = 0.3
END_SECONDS = 120.0
"""Far more than the grace period of a worker."""


class Crew:
    """The processes; `kill` and `freeze` act on one process, `stop` on all."""

    def __init__(self, environ: Mapping[str, str], clock: Path, logs: Path) -> None:
        self._environ = environ
        self._clock = clock
        self._logs = logs
        self._processes: dict[int, forkserver.Forked] = {}
        self._leaving = asyncio.Event()
        self.started = 0
        self.codes: list[int] = []
        """How they ended, one after the other."""

    async def keep(self) -> None:
        """Restarts processes that end until `stop` is called; returns when all have ended. Fails if one does not."""
        async with asyncio.TaskGroup() as tasks:
            kept = [tasks.create_task(self._keep_one(place)) for place in range(WORKERS)]
            await self._leaving.wait()
            _, running = await asyncio.wait(kept, timeout=END_SECONDS)
            assert not running, "a worker does not end after the signal to stop"

    async def _keep_one(self, place: int) -> None:
        while not self._leaving.is_set():
            with (self._logs / f"worker-{place}.log").open("ab") as log:
                process = await forkserver.start(
                    "tests.chaos.worker", [str(self._clock)], environ=self._environ, output=log.fileno()
                )
            self._processes[place] = process
            self.started += 1
            if self._leaving.is_set():
                # The signal to stop was sent before this process was there.
                process.kill()
                await process.wait()
                return
            self.codes.append(await process.wait())
            await asyncio.sleep(AGAIN_SECONDS)

    @property
    def pids(self) -> list[int]:
        """The process ids of running processes."""
        return [process.pid for process in self._processes.values() if process.returncode is None]

    def kill(self, place: int) -> None:
        """Ends a process with SIGKILL."""
        self._send(place, signal.SIGKILL)

    async def freeze(self, place: int, seconds: float) -> None:
        """Stops a process with SIGSTOP and continues it later."""
        process = self._processes.get(place % WORKERS)
        self._send(place, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Sends every process the signal to shut down."""
        self._leaving.set()
        for place in list(self._processes):
            self._send(place, signal.SIGTERM)

    def kill_all(self) -> None:
        """Kills the processes that still run."""
        self._leaving.set()
        for place in list(self._processes):
            self._send(place, signal.SIGKILL)

    def hear(self) -> dict[str, int]:
        """The logged lines by event; every line is also checked for secrets."""
        events: dict[str, int] = {}
        for log in self._logs.glob("worker-*.log"):
            text = log.read_text(encoding="utf-8", errors="replace")
            WITNESS.hear(f"chaos {log.name}", text)
            for line in text.splitlines():
                event = line.partition('"event": "')[2].partition('"')[0] or line[:60]
                events[event] = events.get(event, 0) + 1
        return events

    def _send(self, place: int, number: signal.Signals) -> None:
        process = self._processes.get(place % WORKERS)
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
