"""Polls under way: slots claimed from the queue, decided upon, polled side by side, done once their rows are safe.

A slot is held from its claim until its row is committed; as long as it is held the queue is told that it still is. What
is not finished when this process stops, is frozen or dies goes to another worker.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.admission import CRASHED, Discard, Poll, PollState, Record, Requeue, decide
from poller.core.errors import DatabaseError
from poller.core.model import Outcome
from poller.core.shares import Shares
from poller.core.token import UNOPENED
from poller.polling.runner import not_polled
from poller.store.queue.schedules import read_due
from poller.worker.circuit_breakers import CircuitBreakers
from poller.worker.observer import FinishedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.core.schedule import Due
    from poller.polling.batch_writer import BatchWriter
    from poller.polling.plan import Plan
    from poller.polling.runner import PollRunner
    from poller.store.database import Database
    from poller.store.orgs.poll_slots import PollableSlot
    from poller.store.queue.jobs import Job, JobQueue
    from poller.worker.observer import Observer

_KEYS_AGAIN: Final = timedelta(minutes=5)

log = structlog.get_logger("poller.worker")


class Dispatcher:
    """The slots this process holds."""

    def __init__(
        self,
        database: Database,
        fleet: PollRunner,
        queue: JobQueue,
        sink: BatchWriter[FinishedJob],
        *,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        observer: Observer,
        places: int = 32,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._queue = queue
        self._sink = sink
        self._now = now
        self._jitter = jitter
        self._observer = observer
        self._held: set[int] = set()
        self._read: set[int] = set()
        self.places = Shares(places)
        """How many orgs are polled side by side, shared out by data centre."""
        self._under_way: dict[asyncio.Task[None], Job] = {}
        self._broken_off: dict[asyncio.Task[None], Job] = {}
        self.breaks = 0
        """How often polls were broken off."""
        self._orgs: set[int] = set()
        self._unopened_at: datetime | None = None
        self._beat_at = self._claimed_at = -math.inf
        self.freed = asyncio.Event()
        self.circuits = CircuitBreakers()

    @property
    def held(self) -> list[int]:
        """The jobs whose rows are not safe yet."""
        return list(self._held)

    @property
    def readings(self) -> int:
        """How many of them were polled, and wait for the store: no more than the sink holds and there are hands."""
        return len(self._read)

    @property
    def under_way(self) -> int:
        """How many orgs are being polled."""
        return len(self._under_way)

    @property
    def lacks_keys(self) -> bool:
        """Whether this worker's keys lately did not decrypt an org's credentials: the others are to claim first."""
        return self._unopened_at is not None and self._now() - self._unopened_at < _KEYS_AGAIN

    def holds(self, job: Job) -> bool:
        """Whether this job is in hand already."""
        return job.id in self._held

    def note_beat(self, sent_at: float) -> None:
        """The queue knows that this worker still did its jobs at that moment of the loop's time."""
        self._beat_at = max(self._beat_at, sent_at)

    async def begin(
        self, jobs: Sequence[Job], tasks: asyncio.TaskGroup, breaks: int, claimed_at: float = math.inf
    ) -> None:
        """Poll these, each in a task of its own, or do with them what else there is to do.

        `breaks` is what it was before they were claimed: if polls were broken off since, others may have these, too. A
        `DatabaseError` leaves those that were not begun to whoever finds them silent.
        """
        if not jobs:
            return
        self._claimed_at = min(claimed_at, asyncio.get_running_loop().time())
        due = {job.id: read_due(job.payload) for job in jobs}
        self._held.update(due)
        try:
            await self._triage(jobs, due, tasks, breaks)
        except BaseException:
            begun = {job.id for job in self._under_way.values()}
            self._held.difference_update(job.id for job in jobs if job.id not in begun)
            raise

    def done(self, batch: Sequence[FinishedJob]) -> None:
        """The rows of these are safe, and the queue knows."""
        ids = {one.job_id for one in batch}
        self._held -= ids
        self._read -= ids

    def cancel_all(self) -> None:
        """Let none of what is under way send another request; `release_all` puts it back."""
        self.breaks += 1
        for task, job in self._under_way.items():
            task.cancel()
            self._broken_off[task] = job

    async def release_all(self) -> None:
        """Break off what is under way, and put it back for others, as far as it is still ours."""
        self.cancel_all()
        broken_off, self._broken_off = self._broken_off, {}
        if broken_off:
            await asyncio.wait(broken_off)
            ids = [job.id for job in broken_off.values() if job.id in self._held]
            self._held.difference_update(ids)
            self._read.difference_update(ids)
            await self._queue.requeue(ids)
            self._observer.requeue("stopped", len(ids))

    async def _triage(self, jobs: Sequence[Job], due: dict[int, Due], tasks: asyncio.TaskGroup, breaks: int) -> None:
        """Decide about each of them, by what one query knows of all; begin those that are polled."""
        now = self._now()
        found = await self._fleet.read_slots(list(due.values()), list(self._held), now, self._queue.silence)
        chosen: list[tuple[Job, Plan]] = []
        try:
            for job, slot in zip(jobs, found, strict=True):
                self._observer.claimed(due[job.id], now)
                await self._admit(job, due[job.id], slot, now, chosen)
        except BaseException:
            self._give_back(chosen)
            raise
        await self._begin_chosen(chosen, tasks, breaks)

    async def _admit(
        self, job: Job, due: Due, slot: PollableSlot | None, now: datetime, chosen: list[tuple[Job, Plan]]
    ) -> None:
        """Apply what is decided about one slot; one that is polled has its place then, and is among the chosen."""
        match Discard() if slot is None else decide(self._state(slot, due, now, chosen)):
            case Poll() as decision if slot is not None:
                data_center = slot.pollable.org.data_center
                self.places.part(data_center).take()
                self.circuits.asked(data_center, now)
                chosen.append((job, self._fleet.plan_slot(slot, due, now, decision)))
            case Record() as decision if slot is not None:
                polled = await self._fleet.carry_out(self._fleet.plan_slot(slot, due, now, decision))
                await self._sink.put(FinishedJob(job.id, polled))
            case Requeue(until, reason):
                await self._requeue(job, until - now, reason)
            case _:
                await self._sink.put(FinishedJob(job.id, None))

    def _state(self, slot: PollableSlot, due: Due, now: datetime, chosen: Sequence[tuple[Job, Plan]]) -> PollState:
        """What is stored of a slot, and what this worker knows beside."""
        org = slot.pollable.org
        busy = org.id in self._orgs or any(plan.pollable.org.id == org.id for _, plan in chosen)
        state = self._fleet.state_of(slot, due, now)
        return replace(
            state,
            busy=state.busy or busy,
            retry_data_center_at=self.circuits.retry_at(org.data_center, due, now),
            was_unreachable=self.circuits.was_away(org.data_center, due.at),
            has_place=self.places.part(org.data_center).is_free,
        )

    async def _begin_chosen(self, chosen: Sequence[tuple[Job, Plan]], tasks: asyncio.TaskGroup, breaks: int) -> None:
        try:
            await self._fleet.reserve([plan for _, plan in chosen])
            if lost := self.breaks != breaks or self._is_nearly_silent():
                ids = [job.id for job, _ in chosen]
                self._held.difference_update(ids)
                await self._queue.requeue(ids)
                self._observer.requeue("stopped" if self.breaks != breaks else "slow", len(ids))
        except BaseException:
            self._give_back(chosen)
            raise
        if lost:
            self._give_back(chosen)
            return
        for job, plan in chosen:
            org = plan.pollable.org
            task = tasks.create_task(self._poll(job, plan), name=f"poll {org.id}")
            self._under_way[task] = job
            self._orgs.add(org.id)
            task.add_done_callback(partial(self._ended, org.id, org.data_center))

    def _is_nearly_silent(self) -> bool:
        """Whether others may soon take what was claimed for given up: PostgreSQL took too long since the last beat."""
        heard_at = max(self._beat_at, self._claimed_at)
        return asyncio.get_running_loop().time() - heard_at > self._queue.silence.total_seconds() * 2 / 3

    def _give_back(self, chosen: Sequence[tuple[Job, Plan]]) -> None:
        for _, plan in chosen:
            self.places.part(plan.pollable.org.data_center).give_back()

    async def _poll(self, job: Job, plan: Plan) -> None:
        org = plan.pollable.org
        try:
            polled = await self._fleet.carry_out(
                plan, lambda code: self.circuits.unanswered(org.data_center, org.id, code, self._now())
            )
            self.circuits.learn(plan, polled, self._now())
            if polled.unopened is not None:
                await self._leave_to_others(job, plan, polled.unopened)
                return
        except DatabaseError as error:
            if not error.passing:
                raise
            # Nothing was read, or not all of it: whoever finds the job silent polls the slot.
            self._held.discard(job.id)
            self._observer.database_error()
            log.info("poll.broken_off", org=org.name, why=error.what)
            return
        except Exception:
            log.exception("poll.crashed", org=org.name, slot=plan.slot.isoformat())
            polled = not_polled(plan, Outcome.MISSED, CRASHED)
        self._read.add(job.id)
        await self._sink.put(FinishedJob(job.id, None if polled.removed else polled))

    async def _leave_to_others(self, job: Job, plan: Plan, error: str) -> None:
        """This worker's keys turned out not to decrypt the org's credentials."""
        await self._fleet.give_back(plan)
        now = self._now()
        match decide(PollState(now, read_due(job.payload), unopened=error)):
            case Requeue(until, reason):
                await self._requeue(job, until - now, reason)
            case _:
                await self._sink.put(FinishedJob(job.id, not_polled(plan, Outcome.MISSED, error)))

    async def _requeue(self, job: Job, wait: timedelta, reason: str) -> None:
        """Put one back for a while, with jitter: at most a second of it, and no more than the wait itself."""
        if reason in UNOPENED:
            self._unopened_at = self._now()
        self._held.discard(job.id)
        jitter = min(wait, timedelta(seconds=1)) * self._jitter()
        await self._queue.requeue([job.id], wait + jitter)
        self._observer.requeue(reason, 1)

    def _ended(self, org_id: int, data_center: str, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self.places.part(data_center).give_back()
        self._orgs.discard(org_id)
        self.freed.set()
