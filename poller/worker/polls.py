"""Polls under way: slots claimed from the queue, decided upon, polled side by side, done once their rows are safe.

A slot is held from its claim until its row is committed; as long as it is held the queue is told that it still is. What
is not finished when this process stops, is frozen or dies goes to another worker.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from poller.core.circuit import AWAY
from poller.core.claims import CRASHED, MARGIN, Circumstances, Drop, Later, Miss, Poll, decide
from poller.core.errors import DatabaseError
from poller.core.model import Outcome
from poller.core.shares import Shares
from poller.core.token import KEY_MISSING, UNOPENED
from poller.fleet import Polled, not_polled
from poller.poll import LONGEST_WAIT_SECONDS
from poller.store.schedules import POLL, read_due, slot_states
from poller.worker.circuits import Circuits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.core.schedule import Due
    from poller.fleet import Fleet
    from poller.plan import Plan
    from poller.sink import Sink
    from poller.store.database import Database
    from poller.store.queue import Job, JobQueue
    from poller.store.schedules import SlotState

_KEYS_AGAIN: Final = timedelta(minutes=5)

log = structlog.get_logger("poller.worker")

NO_PLACE_SECONDS: Final = 0.2
"""How long a slot waits that was claimed for a data centre whose places were all taken meanwhile."""


class Observer(Protocol):
    """Who is told what happens, for the figures."""

    def handed_out(self, slots: int) -> None:
        """So many slots were queued."""

    def claimed(self, due: Due, now: datetime) -> None:
        """A slot was claimed."""

    def written(self, batch: Sequence[Polled]) -> None:
        """These rows are safe."""

    def missed(self, slots: int, reason: str) -> None:
        """So many slots were written down as missed that nobody had queued."""

    def put_back(self, reason: str, slots: int) -> None:
        """So many slots have to wait, in the queue."""

    def database_error(self) -> None:
        """PostgreSQL, or the way to it, made trouble."""


class Silent:
    """An observer who tells nobody."""

    def handed_out(self, slots: int) -> None:
        """Nothing."""

    def claimed(self, due: Due, now: datetime) -> None:
        """Nothing."""

    def written(self, batch: Sequence[Polled]) -> None:
        """Nothing."""

    def missed(self, slots: int, reason: str) -> None:
        """Nothing."""

    def put_back(self, reason: str, slots: int) -> None:
        """Nothing."""

    def database_error(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a job, on its way to the store; `polled` is None where there is nothing to write."""

    job_id: int
    polled: Polled | None


class Polls:
    """The slots this process holds."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        queue: JobQueue,
        sink: Sink[Reading],
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
        self.freed = asyncio.Event()
        self.circuits = Circuits()

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

    async def begin(self, jobs: Sequence[Job], tasks: asyncio.TaskGroup, breaks: int) -> None:
        """Poll these, each in a task of its own, or do with them what else there is to do.

        `breaks` is what it was before they were claimed: if polls were broken off since, others may have these, too. A
        `DatabaseError` leaves those that were not begun to whoever finds them silent.
        """
        if not jobs:
            return
        due = {job.id: read_due(job.payload) for job in jobs}
        self._held.update(due)
        try:
            await self._sort_out(jobs, due, tasks, breaks)
        except BaseException:
            begun = {job.id for job in self._under_way.values()}
            self._held.difference_update(job.id for job in jobs if job.id not in begun)
            raise

    def done(self, batch: Sequence[Reading]) -> None:
        """The rows of these are safe, and the queue knows."""
        ids = {one.job_id for one in batch}
        self._held -= ids
        self._read -= ids

    def break_off(self) -> None:
        """Let none of what is under way send another request; `let_go` puts it back."""
        self.breaks += 1
        for task, job in self._under_way.items():
            task.cancel()
            self._broken_off[task] = job

    async def let_go(self) -> None:
        """Break off what is under way, and put it back for others, as far as it is still ours."""
        self.break_off()
        broken_off, self._broken_off = self._broken_off, {}
        if broken_off:
            await asyncio.wait(broken_off)
            ids = [job.id for job in broken_off.values() if job.id in self._held]
            self._held.difference_update(ids)
            self._read.difference_update(ids)
            await self._queue.put_back(ids)
            self._observer.put_back("stopped", len(ids))

    async def _sort_out(self, jobs: Sequence[Job], due: dict[int, Due], tasks: asyncio.TaskGroup, breaks: int) -> None:
        now = self._now()
        states = await slot_states(self._database, list(due.values()), now)
        elsewhere = await self._orgs_polled_elsewhere()
        wanted: dict[int, tuple[Job, Due, SlotState]] = {}
        for job, state in zip(jobs, states, strict=True):
            one = due[job.id]
            self._observer.claimed(one, now)
            busy = one.org_id in self._orgs or one.org_id in elsewhere or one.org_id in wanted
            verdict = decide(one, _circumstances(state, busy=busy), now)
            if isinstance(verdict, Poll | Miss):
                wanted[one.org_id] = (job, one, state)
            else:
                await self._settle(job, verdict)
        found = await self._fleet.plan_due([one for _, one, _ in wanted.values()])
        plans = {plan.pollable.org.id: plan for plan in found}
        chosen: list[tuple[Job, Plan]] = []
        for org_id, (job, one, state) in wanted.items():
            plan = plans.get(org_id)
            if plan is None:
                await self._settle(job, Drop())
                continue
            verdict = decide(one, _circumstances(state, plan=plan), now)
            if isinstance(verdict, Poll) and plan.refusal is None:
                plan, verdict = self._ask_circuit(plan, one, now)
            if isinstance(verdict, Poll):
                chosen.append((job, plan))
            else:
                await self._settle(job, verdict, plan)
        await self._begin_chosen(await self._take_places(chosen), tasks, breaks)

    async def _take_places(self, chosen: Sequence[tuple[Job, Plan]]) -> list[tuple[Job, Plan]]:
        """Those for which their data centre has a place; the others wait in the queue."""
        placed: list[tuple[Job, Plan]] = []
        without: list[Job] = []
        for job, plan in chosen:
            part = self.places.part(plan.pollable.org.data_center)
            if part.is_free:
                part.take()
                placed.append((job, plan))
            else:
                without.append(job)
        try:
            for job in without:
                await self._settle(job, Later(NO_PLACE_SECONDS, "places"))
        except BaseException:
            self._give_back(placed)
            raise
        return placed

    async def _begin_chosen(self, chosen: Sequence[tuple[Job, Plan]], tasks: asyncio.TaskGroup, breaks: int) -> None:
        try:
            await self._fleet.reserve([plan for _, plan in chosen])
            if self.breaks != breaks:
                ids = [job.id for job, _ in chosen]
                self._held.difference_update(ids)
                await self._queue.put_back(ids)
        except BaseException:
            self._give_back(chosen)
            raise
        if self.breaks != breaks:
            self._give_back(chosen)
            return
        for job, plan in chosen:
            org = plan.pollable.org
            task = tasks.create_task(self._poll(job, plan), name=f"poll {org.id}")
            self._under_way[task] = job
            self._orgs.add(org.id)
            task.add_done_callback(partial(self._ended, org.id, org.data_center))

    def _give_back(self, chosen: Sequence[tuple[Job, Plan]]) -> None:
        for _, plan in chosen:
            self.places.part(plan.pollable.org.data_center).give_back()

    def _ask_circuit(self, plan: Plan, due: Due, now: datetime) -> tuple[Plan, Poll | Later]:
        """A data centre that is away is not asked; a slot waits for it as long as it lasts."""
        wait_until = self.circuits.wait_until(plan, due, now)
        if wait_until is None:
            return plan, Poll()
        if wait_until < due.until - MARGIN:
            return plan, Later((wait_until - now).total_seconds(), "data_center")
        return replace(plan, refusal=(Outcome.UNAVAILABLE, AWAY)), Poll()

    async def _settle(self, job: Job, verdict: Later | Drop | Miss | Poll, plan: Plan | None = None) -> None:
        """Do with a job what there is to do without asking the org."""
        if isinstance(verdict, Later) and verdict.reason in UNOPENED:
            self._unopened_at = self._now()
        match verdict:
            case Later(seconds, reason):
                self._held.discard(job.id)
                await self._queue.put_back([job.id], timedelta(seconds=seconds + min(seconds, 1.0) * self._jitter()))
                self._observer.put_back(reason, 1)
            case Miss(error) if plan is not None:
                outcome = Outcome.MISSED
                # What was kept back for it may come back too late, though the data centre did not.
                if self.circuits.was_away(plan.pollable.org.data_center, plan.due_at or plan.slot):
                    outcome, error = Outcome.UNAVAILABLE, AWAY
                await self._sink.put(Reading(job.id, not_polled(plan, outcome, error)))
            case _:
                await self._sink.put(Reading(job.id, None))

    async def _orgs_polled_elsewhere(self) -> set[int]:
        being_done = await self._queue.being_done(POLL)
        return {read_due(payload).org_id for job_id, payload in being_done if job_id not in self._held}

    async def _poll(self, job: Job, plan: Plan) -> None:
        org = plan.pollable.org
        try:
            polled = await self._fleet.carry_out(plan)
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
        await self._sink.put(Reading(job.id, None if polled.removed else polled))

    async def _leave_to_others(self, job: Job, plan: Plan, error: str) -> None:
        await self._fleet.give_back(plan)
        verdict = decide(read_due(job.payload), Circumstances(active=True, unopened=error), self._now())
        await self._settle(job, verdict, plan)

    def _ended(self, org_id: int, data_center: str, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self.places.part(data_center).give_back()
        self._orgs.discard(org_id)
        self.freed.set()


def _circumstances(state: SlotState, *, busy: bool = False, plan: Plan | None = None) -> Circumstances:
    wait_until, wait_for = None, ""
    unopened = plan.refusal[1] if plan is not None and plan.refusal == (Outcome.MISSED, KEY_MISSING) else None
    if plan is not None and plan.refusal is None:
        wait_until, wait_for = state.cool_until, "cool_down"
        hold_until = datetime.fromtimestamp(plan.pollable.quota.hold_until, UTC)
        # A shorter hold is waited for by the poll itself.
        if hold_until > plan.at + timedelta(seconds=LONGEST_WAIT_SECONDS):
            wait_until, wait_for = hold_until, "hold"
    return Circumstances(
        active=state.active,
        ok=state.outcome == Outcome.OK,
        polled_at=state.polled_at,
        busy=busy,
        wait_until=wait_until,
        wait_for=wait_for,
        unopened=unopened,
    )
