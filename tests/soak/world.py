"""All processes of a soak on one clock: PostgreSQL, a simulated Zoho and a worker."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from poller.core.datacenters import with_operators
from poller.embedded import start
from poller.simulator import Simulator
from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests.postgres import FAST, chosen_binaries, let_now_be
from tests.simulated_fleet import import_fleet
from tests.soak import zoho
from tests.soak.clock import DAY_SECONDS, Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from poller.store.database import Database

KEY: Final = bytes(range(KEY_BYTES))
_LEASE_SECONDS: Final = 10.0
"""Of the wall's: a token request of some milliseconds would outlast a lease of 30 seconds by the soak's clock."""
_AUTOVACUUM: Final = {"autovacuum_naptime": "1s"}
"""Autovacuum usually looks at the tables once a minute. Its minimum is once a second, which is rare enough here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Number of orgs and days, seconds of real time per day of the soak's clock, and the polling interval."""

    orgs: int
    days: float
    day_seconds: float
    interval_seconds: int

    @property
    def speed(self) -> float:
        return DAY_SECONDS / self.day_seconds


@dataclass(frozen=True, slots=True)
class World:
    """The processes, and a separate connection to their database. `log`: the log of the worker."""

    clock: Clock
    database: Database
    data_centers: Mapping[str, Any]
    worker: asyncio.subprocess.Process
    worker_url: str
    zoho: asyncio.subprocess.Process
    log: Path


@asynccontextmanager
async def world(plan: Plan, begins_at: datetime, folder: Path) -> AsyncIterator[World]:
    """Starts all processes; those that still run are ended with the context."""
    settings = FAST | _AUTOVACUUM
    server = await asyncio.to_thread(start, folder / "data", binaries=chosen_binaries(), settings=settings)
    try:
        dsn = server.dsn()
        clock = Clock.begin(begins_at, plan.speed)
        await let_now_be(dsn, clock.sql)
        await schema.upgrade(dsn)
        async with (
            await connect(dsn, application_name="soak") as database,
            _process(folder / "zoho.log", "tests.soak.zoho", str(clock), str(plan.orgs)) as (zoho_process, said),
        ):
            data_centers = json.loads(said)
            await _import(database, clock, plan.orgs, data_centers)
            environ = _environment(plan, dsn, data_centers)
            log = folder / "worker.log"
            async with _process(log, "tests.soak.worker", str(clock), environ=environ) as (worker, url):
                yield World(clock, database, data_centers, worker, url, zoho_process, log)
    finally:
        await asyncio.to_thread(server.close)


async def _import(database: Database, clock: Clock, orgs: int, data_centers: Mapping[str, Any]) -> None:
    sim = Simulator(zoho.options(clock, orgs))
    await import_fleet(database, Keyring({"soak": KEY}), sim, with_operators(data_centers))


def _environment(plan: Plan, dsn: str, data_centers: Mapping[str, Any]) -> dict[str, str]:
    return os.environ | {
        "POLLER_DATABASE_URL": dsn,
        "POLLER_SECRET_KEYS": f"soak:{base64.b64encode(KEY).decode()}",
        "POLLER_DATA_CENTERS": json.dumps(data_centers),
        "POLLER_POLL_INTERVAL": str(plan.interval_seconds),
        # A lease lasts twice as long as a request may take.
        "POLLER_REQUEST_TIMEOUT": str(max(round(_LEASE_SECONDS * plan.speed / 2), 15)),
    }


@asynccontextmanager
async def _process(
    log: Path, module: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Runs a module as a process, from its first line of output; stops it at the end, and kills it if necessary."""
    with _opened(log) as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode().strip()
        if not said:
            raise RuntimeError(f"{module} was never ready: {_said(log)}")
        yield process, said
    finally:
        await leave(process)


async def leave(process: asyncio.subprocess.Process, patience_seconds: float = 30.0) -> int:
    """Stops a process; returns its exit code."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(patience_seconds):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def _opened(log: Path) -> BinaryIO:
    return log.open("ab")


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
