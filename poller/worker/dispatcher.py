"""Runs the polls of one worker: decides about claimed jobs, starts their polls, and resolves the jobs without a poll.

A job belongs to this worker from its claim until its row is committed; until then heartbeats say so. If this process is
stopped, frozen or killed, its jobs go to another worker.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.admission import CRASHED, Discard, Poll, Record, Requeue, decide
from poller.core.errors import DatabaseError
from poller.core.model import Outcome
from poller.core.token import UNOPENED
from poller.polling.instrumentation import NULL_INSTRUMENTATION
from poller.polling.results import not_polled
from poller.store.queue.schedules import read_due
from poller.worker.claimed_jobs import ClaimedJobs
from poller.worker.finished_job import FinishedJob
from poller.worker.poll_places import PollPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.core.admission import Decision
    from poller.core.model import Org
    from poller.core.poll_state import PollState
    from poller.polling.batch_writer import BatchWriter
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.runner import PollRunner
    from poller.store.queue.jobs import Job, JobQueue

_KEYS_AGAIN: Final = timedelta(minutes=5)
"""How long a worker that met credentials without a key lets other workers claim first."""

log = structlog.get_logger("poller.worker")


PolledJob = tuple["Job", "PollState", Poll]


class Dispatcher:
    """The jobs that this process has claimed."""

    def __init__(
        self,
        runner: PollRunner,
        queue: JobQueue,
        writer: BatchWriter[FinishedJob],
        *,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        max_concurrent_polls: int,
        instrumentation: Instrumentation = NULL_INSTRUMENTATION,
    ) -> None:
        self._runner = runner
        self._queue = queue
        self._writer = writer
        self._now = now
        self._jitter = jitter
        self._instrumentation = instrumentation
        self.jobs = ClaimedJobs(queue.heartbeat_timeout.total_seconds())
        self.places = PollPlaces(max_concurrent_polls)
        self._running: dict[asyncio.Task[None], Job] = {}
        self._cancelled: dict[asyncio.Task[None], Job] = {}
        self.cancellations = 0
        """How often all running polls were cancelled."""
        self._unopened_at: datetime | None = None
        self.slot_freed = asyncio.Event()

    @property
    def running(self) -> int:
        """The number of polls that run."""
        return len(self._running)

    @property
    def lacks_keys(self) -> bool:
        """Whether this worker lately met credentials without a key: other workers should claim first."""
        return self._unopened_at is not None and self._now() - self._unopened_at < _KEYS_AGAIN

    async def start(
        self, jobs: Sequence[Job], tasks: asyncio.TaskGroup, cancellations: int, claimed_at: float = math.inf
    ) -> None:
        """Starts a poll for each job, in a task of its own, or resolves the job without a poll.

        `cancellations`: the counter before the claim; if polls were cancelled since, other workers may have these jobs.
        After a `DatabaseError` the jobs that were not started expire, and go to other workers.
        """
        # After an outage of PostgreSQL even this worker's own jobs look expired, and are claimed again.
        jobs = [job for job in jobs if job.id not in self.jobs.ids]
        if not jobs:
            return
        self.jobs.add([job.id for job in jobs], claimed_at)
        try:
            polls, others = await self._triage(jobs)
            await self._start_polls(polls, tasks, cancellations)
            await self._resolve(others)
        except BaseException:
            running = {job.id for job in self._running.values()}
            self.jobs.remove(job.id for job in jobs if job.id not in running)
            raise

    def done(self, batch: Sequence[FinishedJob]) -> None:
        """The rows of these jobs are committed, and the jobs have left the queue."""
        self.jobs.remove(one.job_id for one in batch)

    def cancel_all(self) -> None:
        """Cancels all running polls. Call `release_all` to return their jobs to the queue."""
        self.cancellations += 1
        for task, job in self._running.items():
            task.cancel()
            self._cancelled[task] = job

    async def release_all(self) -> None:
        """Cancels all running polls and returns their jobs to the queue, as far as they are still this worker's."""
        self.cancel_all()
        cancelled, self._cancelled = self._cancelled, {}
        if cancelled:
            await asyncio.wait(cancelled)
            job_ids = [job.id for job in cancelled.values() if job.id in self.jobs.ids]
            await self._release(job_ids, "stopped")

    async def _triage(
        self, jobs: Sequence[Job]
    ) -> tuple[list[PolledJob], list[tuple[Job, PollState | None, Decision]]]:
        """Decides about every job, from the states that one query reads; takes the places for the polls."""
        now, due = self._now(), [read_due(job.payload) for job in jobs]
        states = await self._runner.read_states(due, list(self.jobs.ids), now, self._queue.heartbeat_timeout)
        polls: list[PolledJob] = []
        others: list[tuple[Job, PollState | None, Decision]] = []
        for job, one_due, state in zip(jobs, due, states, strict=True):
            self._instrumentation.slot_claimed(one_due, now)
            decision = Discard() if state is None else decide(self.places.complete(state, one_due))
            if state is not None and isinstance(decision, Poll):
                self.places.take(state)
                polls.append((job, state, decision))
            else:
                others.append((job, state, decision))
        return polls, others

    async def _start_polls(self, polls: Sequence[PolledJob], tasks: asyncio.TaskGroup, cancellations: int) -> None:
        """Reserves the credits of these polls and starts them, unless other workers may have the jobs by now."""
        started = False
        try:
            await self._runner.reserve([(state, poll) for _, state, poll in polls])
            if (reason := self._reason_to_stop(cancellations)) is not None:
                await self._release([job.id for job, _, _ in polls], reason)
                return
            started = True
        finally:
            if not started:
                for _, state, _ in polls:
                    self.places.give_back(state.org)
        for job, state, poll in polls:
            task = tasks.create_task(self._poll(job, state, poll), name=f"poll {state.org.id}")
            self._running[task] = job
            task.add_done_callback(partial(self._ended, state.org))

    def _reason_to_stop(self, cancellations: int) -> str | None:
        """Why claimed jobs must not start: others may have them, or may soon take them over."""
        if self.cancellations != cancellations:
            return "stopped"
        return "slow" if self.jobs.may_expire else None

    async def _resolve(self, jobs: Sequence[tuple[Job, PollState | None, Decision]]) -> None:
        """Resolves jobs without a poll: puts them back, or hands their rows to the writer."""
        await self._requeue([(job, decision) for job, _, decision in jobs if isinstance(decision, Requeue)])
        for job, state, decision in jobs:
            if isinstance(decision, Record) and state is not None:
                await self._writer.put(FinishedJob(job.id, await self._runner.run(state, decision)))
            elif not isinstance(decision, Requeue):
                await self._writer.put(FinishedJob(job.id, None))

    async def _poll(self, job: Job, state: PollState, poll: Poll) -> None:
        org, begun = state.org, self._now()
        try:
            if state.due is not None and begun >= state.due.until:
                # PostgreSQL, or this process, was slow since the decision. What Zoho says now is of the next slot.
                await self._runner.give_back(state, poll)
                away = self.places.circuits.was_unavailable(org.data_center, state.due.at)
                self.places.circuits.on_probe_abandoned(org.data_center, begun)
                late = replace(state, now=begun, was_unreachable=away)
                await self._resolve([(job, late, decide(late))])
                return
            result = await self._runner.run(
                state,
                poll,
                lambda code: self.places.circuits.on_unanswered(org.data_center, org.id, code, begun, self._now()),
            )
            self.places.circuits.on_result(result, self._now())
            if result.unopened is not None:
                await self._leave_to_others(job, state, poll, result.unopened)
                return
        except DatabaseError as error:
            if not error.passing:
                raise
            # The poll is incomplete. The job expires, and another worker polls the slot.
            self.jobs.remove([job.id])
            self._instrumentation.database_error()
            log.info("poll.broken_off", org=org.name, why=error.what)
            return
        except Exception:
            log.exception("poll.crashed", org=org.name, slot=state.slot.isoformat())
            result = not_polled(state, Outcome.MISSED, CRASHED)
        self.jobs.polled.add(job.id)
        await self._writer.put(FinishedJob(job.id, None if result.removed else result))

    async def _leave_to_others(self, job: Job, state: PollState, poll: Poll, error: str) -> None:
        """The keys of this worker do not decrypt the org's credentials: another worker may have the right key."""
        await self._runner.give_back(state, poll)
        decision = decide(replace(state, now=self._now(), unopened=error, was_unreachable=False))
        if isinstance(decision, Requeue):
            await self._requeue([(job, decision)])
        else:
            await self._writer.put(FinishedJob(job.id, not_polled(state, Outcome.MISSED, error)))

    async def _requeue(self, jobs: Sequence[tuple[Job, Requeue]]) -> None:
        """Puts jobs back into the queue, in one statement."""
        if not jobs:
            return
        now = self._now()
        delays = {job.id: requeue.delay(now, self._jitter()) for job, requeue in jobs}
        if any(requeue.reason in UNOPENED for _, requeue in jobs):
            self._unopened_at = now
        self.jobs.remove(delays)
        await self._queue.requeue_after(delays)
        for _, requeue in jobs:
            self._instrumentation.slots_requeued(requeue.reason, 1)

    async def _release(self, job_ids: Sequence[int], reason: str) -> None:
        """Returns jobs to the queue, for any worker."""
        self.jobs.remove(job_ids)
        await self._queue.requeue(job_ids)
        self._instrumentation.slots_requeued(reason, len(job_ids))

    def _ended(self, org: Org, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.places.give_back(org)
        self.slot_freed.set()
