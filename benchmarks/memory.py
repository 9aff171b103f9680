"""Measures the memory that a poll of a large fleet needs in addition to the imported modules."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.aims import Figure, show
from benchmarks.parts import poller_over, simulated_zoho
from poller import log
from poller.app import App, open_runner
from poller.cli.output import terminal
from poller.core.datacenters import with_operators
from poller.polling.poll_all import poll_all
from poller.settings import Settings
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.polling.results import PollResult

MOST_MB = 40.0


async def main(orgs: int | None = None) -> None:
    """Print the peak memory of a process that polls `orgs` orgs, and of one that only imports the same modules."""
    orgs = orgs or 50_000
    async with simulated_zoho(orgs) as data_centers, poller_over(data_centers, orgs) as app:
        bare = await _measured(app, data_centers, "imports")
        polled = await _measured(app, data_centers, "poll")
    show(
        f"Memory: {orgs:,} orgs polled once",
        [
            Figure("imports alone, MB", bare["peak_mb"], "{:.1f}"),
            Figure("poll, MB at its peak", polled["peak_mb"], "{:.1f}"),
            Figure("- above the imports", polled["peak_mb"] - bare["peak_mb"], "{:.1f}", at_most=MOST_MB),
            Figure("requests/s, every token obtained on the way", polled["requests"] / polled["seconds"], "{:,.0f}"),
        ],
        [f"{polled['rows']:,} rows, {polled['requests']:,} requests; the simulator on the other core."],
    )


async def _measured(app: App, data_centers: dict[str, Any], what: str) -> dict[str, float]:
    work = json.dumps({"what": what, "dsn": await _dsn(app), "data_centers": data_centers})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.memory"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(work.encode())
    assert process.returncode == 0
    measured: dict[str, float] = json.loads(output)
    return measured


async def _dsn(app: App) -> str:
    folder = app.settings.data_dir / "postgresql"
    return f"postgresql://poller@/poller?host={folder}"


async def _child() -> None:
    work = json.loads(sys.stdin.read())
    log.configure(log_format=None, level="error")
    rows = requests = 0

    def committed(batch: Sequence[PollResult]) -> None:
        nonlocal rows, requests
        rows += len(batch)
        requests += sum(one.snapshot.requests for one in batch)

    started = datetime.now(UTC)
    if work["what"] == "poll":
        settings = Settings(data_centers=with_operators(work["data_centers"]))
        async with await connect(work["dsn"]) as database:
            app = App(settings, database, Keyring({"bench": bytes(KEY_BYTES)}))
            async with open_runner(app) as fleet:
                terminal.tune_gc()  # as the command does
                await poll_all(fleet, None, committed)
    seconds = (datetime.now(UTC) - started).total_seconds()
    print(json.dumps({"peak_mb": _peak_mb(), "rows": rows, "requests": requests, "seconds": seconds}))


def _peak_mb() -> float:
    """The peak memory of this program in MiB, from the kernel; `getrusage` would include the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) / 1_024


if __name__ == "__main__":
    uvloop.run(_child())
