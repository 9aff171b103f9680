"""Parts that the benchmarks share: a simulator in its own process, a database, and a poller that uses both."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import SERVER_CPU, pinned
from poller import embedded
from poller.app import App
from poller.core.datacenters import with_operators
from poller.core.org_entry import OrgEntry, entry_from
from poller.settings import Settings
from poller.simulator import Simulator, SimulatorOptions
from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.orgs.imports import import_orgs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.embedded import EmbeddedServer


_MANY_LICENCES = 10_000


@asynccontextmanager
async def simulated_zoho(orgs: int) -> AsyncIterator[dict[str, Any]]:
    """Starts a simulator without latency on its own core; returns the value of `POLLER_DATA_CENTERS`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", "simulate", "--orgs", str(orgs), "--latency", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.sched_setaffinity(process.pid, {SERVER_CPU})
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield json.loads(line.partition("=")[2].strip().strip("'"))
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def poller_over(
    data_centers: dict[str, Any], orgs: int, *, edition: str | None = None, **changes: Any
) -> AsyncIterator[App]:
    """Opens a poller with an embedded database and imports `orgs` simulated orgs.

    Editions and licences are the simulator's mixture, or, with `edition`, the same for all orgs, with enough credits
    for any interval.
    """
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        server = await asyncio.to_thread(_start_beside_the_server, Path(folder))
        try:
            await schema.upgrade(server.dsn())
            settings = Settings(data_dir=Path(folder), data_centers=with_operators(data_centers), **changes)
            keyring = Keyring({"bench": bytes(KEY_BYTES)})
            async with await connect(server.dsn()) as database:
                fleet = Simulator(SimulatorOptions(orgs=orgs)).fleet()
                found = (entry_from(org.row(), settings.data_centers) for org in fleet)
                entries = [entry for entry in found if isinstance(entry, OrgEntry)]
                if edition is not None:
                    entries = [replace(entry, edition=edition, licences=_MANY_LICENCES) for entry in entries]
                await import_orgs(database, keyring, entries)
                del entries
                yield App(settings, database, keyring)
        finally:
            await asyncio.to_thread(server.close)


def _start_beside_the_server(folder: Path) -> EmbeddedServer:
    """Starts PostgreSQL on the server's core, because it must not use the client's core."""
    with pinned(SERVER_CPU):
        return embedded.start(folder)
