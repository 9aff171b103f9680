"""What the benchmarks share: a simulator in a process of its own, a database, and a poller over both."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poller import embedded
from poller.app import App
from poller.core.datacenters import with_operators
from poller.core.entry import OrgEntry, entry_from
from poller.settings import Settings
from poller.simulator import Simulator, SimulatorOptions
from poller.store import schema
from poller.store.database import connect
from poller.store.imports import import_orgs
from poller.store.secrets import KEY_BYTES, Keyring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER_CPU = 0
CLIENT_CPU = min(1, (os.cpu_count() or 1) - 1)


@asynccontextmanager
async def simulated_zoho(orgs: int) -> AsyncIterator[dict[str, Any]]:
    """A simulator that answers at once, on a core of its own; its `POLLER_DATA_CENTERS`."""
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
async def poller_over(data_centers: dict[str, Any], orgs: int, **changes: Any) -> AsyncIterator[App]:
    """A poller with an embedded database and a fleet of so many simulated orgs imported."""
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        server = await asyncio.to_thread(embedded.start, Path(folder))
        try:
            await schema.upgrade(server.dsn())
            settings = Settings(data_dir=Path(folder), data_centers=with_operators(data_centers), **changes)
            keyring = Keyring({"bench": bytes(KEY_BYTES)})
            async with await connect(server.dsn()) as database:
                fleet = Simulator(SimulatorOptions(orgs=orgs)).fleet()
                entries = [entry_from(org.row(), settings.data_centers) for org in fleet]
                await import_orgs(database, keyring, [entry for entry in entries if isinstance(entry, OrgEntry)])
                del entries
                yield App(settings, database, keyring)
        finally:
            await asyncio.to_thread(server.close)


def table(title: str, rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, figure in rows:
        print(f"  {name:<{width}}  {figure}")
