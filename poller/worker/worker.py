"""One worker of the service: schedules slots, polls what it claims, does maintenance, and stops in order.

Any number of workers may run. All shared state is in PostgreSQL; workers do not talk to each other. While PostgreSQL is
unreachable, results are kept in memory. After a signal to stop, a worker claims nothing more, finishes running polls
within its grace period, and returns the rest to the queue.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from poller import __version__
from poller.core.errors import DatabaseError
from poller.core.fleet import WorkerRecord
from poller.polling.batch_writer import BatchWriter
from poller.polling.instrumentation import NULL_INSTRUMENTATION, Instrumentation
from poller.store.queue.jobs import JobQueue
from poller.store.queue.service_settings import save_service_settings
from poller.store.queue.workers import deregister
from poller.worker.alert_evaluations import AlertEvaluations, message_writer
from poller.worker.background import BackgroundJobs
from poller.worker.claiming import Claimer
from poller.worker.clock_watch import ClockWatch
from poller.worker.config import WorkerConfig
from poller.worker.database_retry import DatabaseRetry
from poller.worker.delivery import deliver
from poller.worker.dispatcher import Dispatcher
from poller.worker.heartbeat import Heartbeats
from poller.worker.maintenance import maintenance_tasks
from poller.worker.pause import pause
from poller.worker.scheduler import Scheduler
from poller.worker.shutdown import Shutdown
from poller.worker.systemd import READY, notify
from poller.worker.writer import ResultWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from datetime import datetime

    from poller.polling.runner import PollRunner
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.worker.finished_job import FinishedJob
    from poller.worker.maintenance import MaintenanceTask, TaskFunction

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class Worker:
    """A worker; `run` returns after a signal to stop. `now`: the time of slots, which is PostgreSQL's outside tests."""

    settings: Settings
    database: Database
    runner: PollRunner
    config: WorkerConfig = field(default_factory=WorkerConfig)
    now: Callable[[], datetime] = field(kw_only=True)
    instrumentation: Instrumentation = NULL_INSTRUMENTATION
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    digest: TaskFunction | None = None  # sends the digest when it is due
    id: UUID = field(default_factory=uuid4)
    batch_writer: BatchWriter[FinishedJob] = field(init=False)
    """Holds results until PostgreSQL has them."""
    database_retry: DatabaseRetry = field(init=False)
    clock_watch: ClockWatch = field(init=False)
    _queue: JobQueue = field(init=False)
    _dispatcher: Dispatcher = field(init=False)
    _writer: ResultWriter = field(init=False)
    _tasks: Mapping[str, MaintenanceTask] = field(init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        config, kept, hooks = self.config, self.settings, self.instrumentation
        self.database_retry = DatabaseRetry(sleep=self.sleep, jitter=self.jitter, count=hooks.database_error)
        silence = timedelta(seconds=config.heartbeat_timeout_seconds)
        self._queue = JobQueue(self.database, self.id, heartbeat_timeout=silence)
        self._tasks = maintenance_tasks(
            snapshots=kept.snapshot_retention, days=kept.daily_retention, digest=self.digest
        )
        self._writer = ResultWriter(self.database, self.runner, self._queue, self.database_retry, hooks)
        self.batch_writer = BatchWriter(self._write, rows=config.batch_rows, age_seconds=0.1)
        self._dispatcher = Dispatcher(
            self.runner,
            self._queue,
            self.batch_writer,
            now=self.now,
            jitter=self.jitter,
            max_concurrent_polls=config.max_concurrent_polls,
            instrumentation=hooks,
        )
        self.clock_watch = ClockWatch(self.database, self.database_retry, stepped=self._dispatcher.release_all)

    def not_ready_reason(self) -> str | None:
        """Why this worker does not claim and write polls at the moment; None if it does."""
        if self._stopping.is_set():
            return "stopping"
        return self.database_retry.why or self.clock_watch.not_ready_reason()

    @property
    def polls(self) -> int:
        """The number of rows written."""
        return self._writer.polls

    @property
    def lost_rows(self) -> int:
        """The number of results that could not be written before the grace period ended."""
        return self._writer.lost_rows

    @property
    def name(self) -> str:
        """Host and process, as `poller status` and the log show this worker."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def facts(self) -> Mapping[str, Any]:
        """What `poller status` and the metrics show about this worker."""
        dispatcher = self._dispatcher
        return {
            "under_way": dispatcher.running,
            "held": len(dispatcher.jobs.polled),
            "polls": self.polls,
            "cpu_seconds": round(time.process_time(), 2),
            "away": dispatcher.places.circuits.facts(),
            "clock_wrong_seconds": round(self.clock_watch.wrong_seconds, 1),
            "keys": list(self.runner.key_ids),
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set, then stops in order; when cancelled, stops at once."""
        self._stopping = stopping
        # Not in a group: the work outlives the cancellation of this coroutine, to write the results in memory.
        shutdown = Shutdown(self.database, self._dispatcher, self._writer, self.database_retry, self.config)
        draining = asyncio.create_task(shutdown.drain(stopping))  # noqa: TID251
        working = asyncio.create_task(self._work())  # noqa: TID251
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            await shutdown.stop_at_once(working)
            raise
        finally:
            draining.cancel()
        log.info("worker.stopped", worker=self.name, **({"lost": self.lost_rows} if self.lost_rows else {}))

    async def _work(self) -> None:
        log.info("worker.started", worker=self.name, id=str(self.id), hands=self.config.max_concurrent_polls)
        notify(READY)
        async with self.batch_writer, asyncio.TaskGroup() as loops:
            running = [loops.create_task(self._run_until_abandoned(loop)) for loop in self._loops()]
            with suppress(DatabaseError):
                await save_service_settings(self.database, self.runner.policy, self.now())
            delivering = loops.create_task(deliver(self.database, self.runner.keyring, self.settings, self._stopping))
            await self._claimer().run()
            await delivering
            for task in running:
                task.cancel()
        with suppress(DatabaseError):
            await self._queue.release_all()
            await deregister(self.database, self.id)

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        """Everything that runs beside the polls."""
        background, heartbeats = self._background(), self._heartbeats()
        return [
            self._scheduler().run(),
            self.clock_watch.run(),
            heartbeats.heartbeat_jobs(lambda: [*self._dispatcher.jobs.ids, *background.job_ids]),
            heartbeats.watch_for_stall(),
            heartbeats.heartbeat_worker(partial(self._record, self.now())),
            background.run(self._pause, self.config.idle_seconds, lambda: not self.clock_watch.wrong_seconds),
            self._alert_evaluations().run(self._pause, self.config.alert_idle_seconds),
        ]

    async def _run_until_abandoned(self, loop: Awaitable[None]) -> None:
        """Runs a loop; ignores errors of the database once the worker no longer waits for PostgreSQL."""
        try:
            await loop
        except DatabaseError as error:
            if not (error.passing and self.database_retry.abandoned):
                raise

    def _claimer(self) -> Claimer:
        return Claimer(
            self.database,
            self.runner,
            self._queue,
            self._dispatcher,
            self.database_retry,
            clock_watch=self.clock_watch,
            config=self.config,
            data_centers=self.settings.data_centers,
            now=self.now,
            stopping=self._stopping,
        )

    def _background(self) -> BackgroundJobs:
        return BackgroundJobs(
            self.database,
            self._queue,
            self.database_retry,
            self._tasks,
            retention=self.settings.snapshot_retention,
            now=self.now,
            instrumentation=self.instrumentation,
        )

    def _alert_evaluations(self) -> AlertEvaluations:
        enqueue, seconds = message_writer(self.settings, self.runner.keyring), self.config.alert_interval_seconds
        return AlertEvaluations(self.database, self.database_retry, enqueue, interval_seconds=seconds, now=self.now)

    def _heartbeats(self) -> Heartbeats:
        return Heartbeats(
            self.database, self._queue, self._dispatcher, self.database_retry, self.config, sleep=self.sleep
        )

    def _scheduler(self) -> Scheduler:
        return Scheduler(
            self.runner.policy,
            self.database,
            self.database_retry,
            self.config,
            self._tasks,
            self.clock_watch,
            now=self.now,
            sleep=self.sleep,
            jitter=self.jitter,
            instrumentation=self.instrumentation,
        )

    def _record(self, started_at: datetime) -> WorkerRecord:
        return WorkerRecord(self.id, self.name, __version__, started_at, self.now(), self.facts())

    async def _write(self, batch: Sequence[FinishedJob]) -> None:
        await self._writer.write(batch, self._dispatcher)

    async def _pause(self, seconds: float) -> None:
        await pause(seconds, self._stopping)
