"""One worker of the service: it hands out slots, polls what it claims, does chores, and leaves in order.

Every loop here may be the only one in the world or one of many: what is to be done is in the database, nothing is
agreed upon between workers. A database that goes away is waited for; what was read meanwhile is kept and written when
it is back. Told to stop, it claims nothing more, finishes what it has begun for as long as its grace lasts, and puts
back the rest.
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
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import structlog

from poller import __version__
from poller.core.errors import DatabaseError
from poller.core.fleet import WorkerRecord
from poller.polling.batch_writer import BatchWriter
from poller.store.queue.fair_share import NO_DATA_CENTER
from poller.store.queue.jobs import JobQueue
from poller.store.queue.poll_claims import read_demand
from poller.store.queue.schedules import POLL
from poller.store.queue.service_settings import save_service_settings, settings_of
from poller.store.queue.workers import deregister
from poller.worker.background import BackgroundJobs
from poller.worker.clock_watch import ClockWatch
from poller.worker.config import WorkerConfig
from poller.worker.database_retry import LONGEST_PAUSE_SECONDS, DatabaseRetry
from poller.worker.dispatcher import Dispatcher
from poller.worker.heartbeat import Heartbeats
from poller.worker.maintenance import chores
from poller.worker.observer import FinishedJob, Observer, Silent
from poller.worker.scheduler import Scheduler
from poller.worker.systemd import READY, STOPPING, notify
from poller.worker.writer import ResultWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from poller.polling.runner import PollRunner
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.worker.maintenance import MaintenanceTask

log = structlog.get_logger("poller.worker")

_BATCH: Final = 50


@dataclass(slots=True)
class Worker:
    """A worker: `run` it until it is told to stop. `now` is the time of slots: PostgreSQL's, but in a test."""

    settings: Settings
    database: Database
    fleet: PollRunner
    pace: WorkerConfig = field(default_factory=WorkerConfig)
    now: Callable[[], datetime] = field(kw_only=True)
    observer: Observer = field(default_factory=Silent)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    id: UUID = field(default_factory=uuid4)
    outage: DatabaseRetry = field(init=False)
    clock_watch: ClockWatch = field(init=False)
    _queue: JobQueue = field(init=False)
    _sink: BatchWriter[FinishedJob] = field(init=False)
    _polls: Dispatcher = field(init=False)
    _writer: ResultWriter = field(init=False)
    _chores: Mapping[str, MaintenanceTask] = field(init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _share_out_at: float = 0.0
    _data_centers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.outage = DatabaseRetry(sleep=self.sleep, jitter=self.jitter, count=self.observer.database_error)
        self._queue = JobQueue(self.database, self.id, silence=timedelta(seconds=self.pace.heartbeat_timeout_seconds))
        self._chores = chores(snapshots=self.settings.snapshot_retention, days=self.settings.daily_retention)
        self._writer = ResultWriter(self.database, self.fleet, self._queue, self.outage, self.observer)
        self._sink = BatchWriter(self._write, rows=self.pace.batch_rows, age_seconds=0.1)
        self._polls = Dispatcher(
            self.database,
            self.fleet,
            self._queue,
            self._sink,
            now=self.now,
            jitter=self.jitter,
            observer=self.observer,
            places=self.pace.hands,
        )
        self.clock_watch = ClockWatch(self.database, self.outage, stepped=self._polls.release_all)

    def not_ready_reason(self) -> str | None:
        """Why no polls are claimed and written just now; None where they are."""
        if self._stopping.is_set():
            return "stopping"
        return self.outage.why or self.clock_watch.not_ready_reason()

    @property
    def polls(self) -> int:
        """Rows it has written."""
        return self._writer.polls

    @property
    def lost(self) -> int:
        """Readings that could not be written before the grace was over."""
        return self._writer.lost

    @property
    def name(self) -> str:
        """Host and process, as `poller status` and the log name this worker."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @property
    def sink(self) -> BatchWriter[FinishedJob]:
        """Where readings wait for the database."""
        return self._sink

    def facts(self) -> Mapping[str, Any]:
        """What this worker says of itself."""
        polls = self._polls
        return {
            "under_way": polls.under_way,
            "held": polls.readings,
            "polls": self.polls,
            "cpu_seconds": round(time.process_time(), 2),
            "away": polls.circuits.facts(),
            "clock_wrong_seconds": round(self.clock_watch.wrong_seconds, 1),
            "keys": list(self.fleet.key_ids),
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then leave in order; cancelled, at once. Raises what a person must mend."""
        self._stopping = stopping
        leaving, working = asyncio.create_task(self._drain()), asyncio.create_task(self._work())
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            # What was read already is written if the database takes it at once.
            self._writer.give_up_at = 0.0
            working.cancel()
            await asyncio.wait({working}, timeout=self.pace.final_flush_seconds)
            if not working.done():
                await self._abort()
                await asyncio.wait({working})
            if not working.cancelled() and (error := working.exception()) is not None:
                raise error from None
            raise
        finally:
            leaving.cancel()
        log.info("worker.stopped", worker=self.name, **({"lost": self.lost} if self.lost else {}))

    async def _work(self) -> None:
        log.info("worker.started", worker=self.name, id=str(self.id), hands=self.pace.hands)
        notify(READY)
        started_at = self.now()
        async with self._sink, asyncio.TaskGroup() as loops:
            side_jobs = BackgroundJobs(
                self.database,
                self._queue,
                self.outage,
                self._chores,
                retention=self.settings.snapshot_retention,
                now=self.now,
                observer=self.observer,
            )
            vitals = Heartbeats(self.database, self._queue, self._polls, self.outage, self.pace, sleep=self.sleep)
            others = [
                loops.create_task(self._run_until_abandoned(loop))
                for loop in (
                    self._scheduler().run(),
                    self.clock_watch.run(),
                    vitals.heartbeat_jobs(lambda: [*self._polls.held, *side_jobs.held]),
                    vitals.watch_for_stall(),
                    vitals.heartbeat_worker(partial(self._record, started_at)),
                    side_jobs.run(self._pause, self.pace.idle_seconds, lambda: not self.clock_watch.wrong_seconds),
                )
            ]
            with suppress(DatabaseError):
                await save_service_settings(self.database, settings_of(self.settings), self.now())
            async with asyncio.TaskGroup() as polls:
                await self._claim_until_stopped(polls)
            for task in others:
                task.cancel()
        with suppress(DatabaseError):
            await self._queue.release_all()
            await deregister(self.database, self.id)

    async def _drain(self) -> None:
        """Once told to stop: let end what was begun, put back what does not, tear off what waits for PostgreSQL."""
        await self._stopping.wait()
        notify(STOPPING)
        log.info("worker.draining", under_way=self._polls.under_way, grace_seconds=self.pace.shutdown_grace_seconds)
        self._writer.give_up_at = time.monotonic() + self.pace.shutdown_grace_seconds
        await asyncio.sleep(self.pace.shutdown_grace_seconds)
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(self.pace.final_flush_seconds):
                await self._polls.release_all()
                await asyncio.Event().wait()
        await self._abort()

    async def _abort(self) -> None:
        """What waits for the database waits no more; a little later, what still asks it is not to try again either."""
        self.database.terminate()
        await asyncio.sleep(self.pace.final_flush_seconds)
        self.outage.abandoned = True

    async def _run_until_abandoned(self, loop: Awaitable[None]) -> None:
        """A loop beside the polls, which ends in peace where the database is waited for no more."""
        try:
            await loop
        except DatabaseError as error:
            if not (error.passing and self.outage.abandoned):
                raise

    async def _claim_until_stopped(self, tasks: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            try:
                await self.outage.run_with_retry(self._claim_with_backoff(tasks), give_up=self._stopping.is_set)
            except DatabaseError as error:
                if not error.passing:
                    raise

    def _claim_with_backoff(self, tasks: asyncio.TaskGroup) -> Callable[[], Awaitable[None]]:
        """To claim; where the database was away, a little later: others hold readings they could not write."""
        failed = away = False

        async def claim() -> None:
            nonlocal failed, away
            if failed:
                try:
                    await self._queue.ping()
                except DatabaseError:
                    away = True
                    raise
                if away:
                    await self._pause(LONGEST_PAUSE_SECONDS + 1)
                    away = False
            failed = True
            await self._claim(tasks)

        return claim

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        """Begin as many polls as there are free hands and turns; where there is none, wait a little."""
        polls = self._polls
        polls.freed.clear()
        free = self.pace.hands - polls.under_way
        if self.clock_watch.wrong_seconds:
            await self._pause(self.pace.idle_seconds)
            return
        if not free:
            await self._pause(self.pace.idle_seconds, polls.freed)
            return
        breaks = polls.breaks
        rooms = await self._rooms()
        seen_after = self.now() - timedelta(seconds=2 * self.pace.worker_heartbeat_seconds)
        after = timedelta(seconds=self.pace.keyless_seconds if polls.lacks_keys else 0.0)
        turn = await self._queue.turn(
            (POLL,), seen_after, timedelta(seconds=self.pace.fairness_delay_seconds), rooms, after
        )
        if turn.jobs:
            claimed_at = asyncio.get_running_loop().time()
            jobs = await self._queue.claim_polls(POLL, min(free, _BATCH, turn.jobs), rooms)
            # A database that was away made this worker's own jobs look silent too.
            await polls.begin([job for job in jobs if not polls.holds(job)], tasks, breaks, claimed_at)
            await self._pause(self.pace.claim_interval_seconds)
        else:
            idle = self.pace.idle_seconds
            wait = idle if turn.next_seconds is None else min(turn.next_seconds, idle)
            # A place that comes free may be for a job that waits already, of a data centre that had none.
            freed = None if all(rooms.values()) else polls.freed
            await self._pause(max(wait, self.pace.claim_interval_seconds), freed)

    async def _rooms(self) -> dict[str, int]:
        """How many polls this worker could begin of each data centre; shared out by what the fleet needs."""
        clock = time.monotonic()
        if clock >= self._share_out_at:
            demand = await read_demand(self.database, self.settings.poll_interval_seconds)
            self.fleet.share_out(demand)
            self._polls.places.share_out(demand)
            self._data_centers = frozenset({NO_DATA_CENTER, *self.settings.data_centers, *demand})
            self._share_out_at = clock + self.pace.share_seconds
        return {name: self._polls.places.part(name).room for name in self._data_centers}

    def _scheduler(self) -> Scheduler:
        return Scheduler(
            self.settings,
            self.database,
            self.outage,
            self.pace,
            self._chores,
            self.clock_watch,
            now=self.now,
            sleep=self.sleep,
            jitter=self.jitter,
            observer=self.observer,
        )

    def _record(self, started_at: datetime) -> WorkerRecord:
        return WorkerRecord(self.id, self.name, __version__, started_at, self.now(), self.facts())

    async def _write(self, batch: Sequence[FinishedJob]) -> None:
        await self._writer.write(batch, self._polls)

    async def _pause(self, seconds: float, or_until: asyncio.Event | None = None) -> None:
        """Wait so long, or until something happens, or until this worker is to stop."""
        events = [self._stopping] if or_until is None else [self._stopping, or_until]
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
