"""Real workers over a real PostgreSQL, which tests kill, freeze, stop and restart."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from poller.core.datacenters import with_operators
from poller.core.model import COLUMNS
from poller.core.schedule import Due
from poller.simulator import Simulator, SimulatorOptions
from poller.store.database import Database, connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests import forkserver
from tests.breakage.faketime import forget_process
from tests.simulated_fleet import import_fleet
from tests.witness import WITNESS
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime
    from pathlib import Path

LONG = os.environ.get("POLLER_TEST_BREAKAGE") == "long"
"""Whether the variants at the service's own pace are run, which take minutes."""
KEY = bytes(range(KEY_BYTES))
QUICK = ("-m", "tests.chaos.worker")
"""The service's worker at a quick pace: 3 seconds of silence, 5 of grace."""
REAL = ("-m", "poller", "run")


@dataclass
class Process:
    """A worker and its log."""

    process: asyncio.subprocess.Process | forkserver.Forked
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 60.0) -> int:
        """Waits for the end of the worker; returns its exit code."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self) -> list[dict[str, Any]]:
        """The logged events in order; a line that is not an event becomes an event named by its text."""
        lines = self.text().splitlines()
        return [json.loads(line) if line.startswith("{") and line.endswith("}") else {"event": line} for line in lines]

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events())

    async def says(self, event: str, seconds: float = 30.0) -> dict[str, Any]:
        """Waits until the worker has logged this event; returns the newest such event."""

        def newest() -> dict[str, Any] | None:
            assert self.process.returncode is None or self.count(event), self.text()
            return next((one for one in reversed(self.events()) if one["event"] == event), None)

        found: dict[str, Any] = await eventually(newest, seconds)
        return found


@dataclass
class Lab:
    """A database, a simulated Zoho, and as many workers as a test starts."""

    database: Database
    sim: Simulator
    folder: Path
    environ: dict[str, str]
    interval: int
    names: list[str]
    workers: list[Process] = field(default_factory=list)

    async def start(self, program: tuple[str, ...] = QUICK, **settings: str) -> Process:
        """Starts one more worker; returns once the worker has started."""
        log, clock = self.folder / f"worker-{len(self.workers)}.log", self.folder / "clock"
        clock.write_text("0", encoding="ascii")
        environ = self.environ | settings
        process: asyncio.subprocess.Process | forkserver.Forked
        with log.open("wb") as file:
            if program == QUICK and forkserver.fits(environ):
                process = await forkserver.start(QUICK[1], [str(clock)], environ=environ, output=file.fileno())
            else:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *program, *([str(clock)] if program == QUICK else []),
                    env=environ, stdout=file, stderr=file, start_new_session=True,
                )  # fmt: skip
        self.workers.append(Process(process, log))
        await self.workers[-1].says("worker.started")
        return self.workers[-1]

    async def until(self, query: str, *arguments: Any, seconds: float = 30.0) -> Any:
        """Waits until the query returns a true value; returns this value."""
        return await eventually(lambda: self.database.fetchval(query, *arguments), seconds)

    async def rows(self) -> list[Any]:
        return await self.database.fetch(
            "SELECT s.*, o.name FROM org_snapshots s JOIN orgs o ON o.id = s.org_id ORDER BY slot, org_id"
        )

    async def nothing_is_missing_doubled_or_untrue(self) -> list[Any]:
        """Asserts that no slot is missing or polled twice and that all counts are true; returns the rows."""
        # The row of a slot that no worker could poll is written a little later than the polls around it.
        with suppress(TimeoutError):
            await eventually(self._has_no_hole, 60.0)
        rows = await self.rows()
        assert self._holes(rows) == []
        for row in rows:
            if row["outcome"] == "ok":
                counts = {kind.value: row[column] for kind, column in COLUMNS.items()}
                assert counts == self.sim.expected_counts(self.names.index(row["name"]), row["polled_at"])
                assert row["polled_at"] < Due(row["org_id"], row["slot"], self.interval).until
            else:
                assert row["error"], row
        assert self.sim.audit()["breaches"] == []
        assert [
            event for worker in self.workers for event in worker.events() if event["event"].startswith("Trace")
        ] == []
        return rows

    async def _has_no_hole(self) -> bool:
        return not self._holes(await self.rows())

    def _holes(self, rows: list[Any]) -> list[tuple[str, datetime, datetime]]:
        """Pairs of slots of an org that do not follow each other, though no other is between them."""
        slots = {name: [row["slot"] for row in rows if row["name"] == name] for name in self.names}
        interval = timedelta(seconds=self.interval)
        return [(name, *pair) for name, own in slots.items() for pair in pairwise(own) if pair[1] - pair[0] != interval]


@asynccontextmanager
async def lab(
    dsn: str,
    folder: Path,
    *,
    orgs: int = 6,
    interval: int = 4,
    worker_dsn: str | None = None,
    settings: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Lab]:
    """Creates a fleet in the database at `dsn`; workers connect to `worker_dsn`, if given."""
    async with Simulator(SimulatorOptions(orgs=orgs, **options)) as sim, await connect(dsn) as database:
        centers = sim.data_centers_setting()
        names = await import_fleet(database, Keyring({"k1": KEY}), sim, with_operators(centers))
        # No interval is stretched.
        await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
        environ = os.environ | {
            "POLLER_DATABASE_URL": worker_dsn or dsn,
            "POLLER_SECRET_KEYS": f"k1:{base64.b64encode(KEY).decode()}",
            "POLLER_DATA_CENTERS": json.dumps(centers),
            "POLLER_POLL_INTERVAL": str(interval),
            "POLLER_CREDIT_SHARE": "1",
            "POLLER_IN_FLIGHT_SHARE": "0.2",
            "POLLER_LOG_FORMAT": "json",
            "POLLER_WEB_PORT": "0",
            **(settings or {}),
        }
        there = Lab(database, sim, folder, environ, interval, names)
        try:
            yield there
        finally:
            for worker in there.workers:
                with suppress(ProcessLookupError):
                    worker.process.kill()
                await worker.process.wait()
                forget_process(worker.pid)
                WITNESS.hear(f"breakage {worker.log.name}", worker.text())
            WITNESS.know_simulator(sim)
