"""Runs workers of the service in processes, each on its own core, with a job for every org in the queue.

`python -m benchmarks.poll.crew` is one worker. It reads its options as a line of JSON, prints that it is ready, waits
for a second line, and then prints the number of rows of each batch it commits, and at the end the time it used.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.machine import pinned
from benchmarks.poll.lab import Clock
from poller import log
from poller.app import App, open_runner
from poller.cli.output import terminal
from poller.core.datacenters import with_operators
from poller.core.schedule import Advance, Cursor, Due
from poller.core.slots import phase_of
from poller.polling.instrumentation import NullInstrumentation
from poller.settings import Settings
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.queue.schedules import enqueue_due_slots
from poller.worker import Worker, WorkerConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from benchmarks.poll.lab import Lab
    from poller.core.model import Org
    from poller.polling.results import PollResult


@dataclass(frozen=True, slots=True)
class Shift:
    """A round: seconds from the word to begin to the last row committed, rows of each worker, processor time of all."""

    seconds: float
    rows: tuple[int, ...]
    cpu_seconds: float


async def queue_a_slot_of_each(opened: Lab) -> None:
    """Move the clock ahead, and queue a slot of every org that is due now, independent of the org's phase."""
    seconds = opened.app.settings.poll_interval_seconds
    opened.clock.ahead += timedelta(seconds=2 * seconds)
    now = opened.clock.now().replace(microsecond=0)

    def one_now(org: Org, _cursor: Cursor | None, _now: datetime) -> Advance:
        slot = now - timedelta(seconds=int(phase_of(org.id, seconds)))
        return Advance((Due(org.id, slot, seconds),), (), Cursor(slot + timedelta(seconds=seconds), seconds))

    await enqueue_due_slots(opened.app.database, one_now, now, timedelta(), interval_seconds=seconds)


async def work_off(opened: Lab, orgs: int, cores: Sequence[int]) -> Shift:
    """Run a worker on each of these cores until the queue is empty."""
    await queue_a_slot_of_each(opened)
    settings = opened.app.settings
    work = {
        "dsn": f"postgresql://poller@/poller?host={settings.data_dir / 'postgresql'}",
        "data_centers": opened.responder.data_centers,
        "concurrency": settings.concurrency,
        "credit_share": settings.credit_share,
        "ahead_seconds": opened.clock.ahead.total_seconds(),
    }
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(_worker(work, core)) for core in cores]
        started = time.perf_counter()
        for worker in workers:
            worker.tell()
        done = 0
        async with asyncio.TaskGroup() as tasks:
            everything = asyncio.Event()

            def count(rows: int) -> None:
                nonlocal done
                done += rows
                if done >= orgs:
                    everything.set()

            for worker in workers:
                tasks.create_task(worker.listen(count))
            await everything.wait()
            seconds = time.perf_counter() - started
            for worker in workers:
                worker.tell()
    assert done == orgs
    return Shift(seconds, tuple(worker.rows for worker in workers), sum(worker.cpu_seconds for worker in workers))


@dataclass(slots=True)
class _Handle:
    process: asyncio.subprocess.Process
    rows: int = 0
    cpu_seconds: float = 0.0

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def listen(self, count: Callable[[int], None]) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = json.loads(line)
            self.cpu_seconds = said.get("cpu_seconds", 0.0)
            self.rows += said.get("rows", 0)
            count(said.get("rows", 0))


@asynccontextmanager
async def _worker(work: dict[str, Any], core: int) -> AsyncIterator[_Handle]:
    with pinned(core):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.poll.crew"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(work).encode() + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield _Handle(process)
    finally:
        process.stdin.close()
        assert await process.wait() == 0


class _Tally(NullInstrumentation):
    """Prints what is safe, as it is."""

    def results_committed(self, batch: Sequence[PollResult]) -> None:
        assert all(one.snapshot.error is None for one in batch)
        print(json.dumps({"rows": len(batch)}), flush=True)


async def _work() -> None:
    log.configure(log_format=None, level="error")
    work = json.loads(sys.stdin.readline())
    settings = Settings(
        data_centers=with_operators(work["data_centers"]),
        concurrency=work["concurrency"],
        credit_share=work["credit_share"],
    )
    clock = Clock(timedelta(seconds=work["ahead_seconds"]))
    async with await connect(work["dsn"]) as database:
        app = App(settings, database, Keyring({"bench": bytes(KEY_BYTES)}))
        async with open_runner(app, now=clock.now) as runner:
            config = WorkerConfig(max_concurrent_polls=-(-settings.concurrency // 2))
            worker = Worker(settings, database, runner, config, now=clock.now, instrumentation=_Tally())
            terminal.tune_gc()
            print("ready", flush=True)
            sys.stdin.readline()
            cpu_started = time.process_time()
            stopping = asyncio.Event()
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopping.set)
            await worker.run(stopping)
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            print(json.dumps({"cpu_seconds": time.process_time() - cpu_started}), flush=True)


if __name__ == "__main__":
    uvloop.run(_work())
