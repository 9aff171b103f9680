"""The fleet, once: every org gets its poll and its row, one org's trouble never touching another's.

Credits are reserved in PostgreSQL before the first request of a poll leaves, a page of orgs at once, so that a crash
can only make the poller more careful. What a poll cost beyond that, and what it taught, goes with its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from poller.core.admission import CRASHED
from poller.core.errors import PollerError
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot
from poller.core.rate_limit import limits_of
from poller.core.remedies import remedy_for
from poller.core.shares import polls_at_once
from poller.core.token import KEY_MISSING, NO_CREDENTIALS, UNOPENED
from poller.log import bound
from poller.polling.batch_writer import BatchWriter
from poller.polling.bounded import for_each_by_data_center
from poller.polling.hand_claims import HandClaims, one_ahead
from poller.polling.org_health import OrgHealth
from poller.polling.org_info import OrgInfoRefresh
from poller.polling.plan import Plan, plan, plan_slot, state_of_slot
from poller.polling.poll import PollPorts, poll_org
from poller.store.orgs import credits as credit_store
from poller.store.orgs.poll_slots import read_slots
from poller.store.orgs.poll_state import count_by_data_center, pages_of_active
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from datetime import datetime, timedelta

    from poller.core.admission import Poll, PollState, Record
    from poller.core.health import Parked
    from poller.core.schedule import Due
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.orgs.poll_slots import PollableSlot
    from poller.store.orgs.poll_state import PollableOrg
    from poller.zoho.limiter import Limiter

Committed = Callable[[Sequence["PollResult"]], None]
"""Told of every batch of polls once its rows are safe."""

log = structlog.get_logger("poller.polling.runner")


@dataclass(frozen=True, slots=True)
class PollResult:
    """One org's poll, on its way to the store: the row, what it taught, and what was reserved for it."""

    org: Org
    snapshot: Snapshot
    lesson: RateLimitUpdate | None = None
    reserved: int = 0
    reserved_at: datetime | None = None
    parked: Parked | None = None
    """How the org stood before."""
    extra_requests: int = 0
    """Requests beside those of the snapshot."""
    removed: bool = False
    """The org was removed while it was polled: there is nothing to write."""

    @property
    def unopened(self) -> str | None:
        """The error that says why this process's keys do not open the org's credentials; None where they do."""
        error = self.snapshot.error
        return error if error in UNOPENED and not self.snapshot.counts else None


def _always(_org_id: int, _slot: datetime) -> bool:
    return True


class PollRunner:
    """Polls orgs side by side, each under its own limits, and commits a row for each of them."""

    def __init__(
        self, settings: Settings, database: Database, keyring: Keyring, limiter: Limiter, world: PollPorts
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._limiter = limiter
        self._world = world
        self._missing_keys: set[str] = set()
        self._health = OrgHealth(database, world.now)

    async def poll_all(
        self,
        names: Sequence[str] | None,
        committed: Committed,
        *,
        wanted: Callable[[int, datetime], bool] = _always,
        probe: bool | None = None,
    ) -> list[str]:
        """Poll every active org once, now, or those named; a `UsageError` if a name is unknown.

        Parked orgs are asked with `probe`, which is True for named orgs unless it is given; else when a probe is due.
        An org whose id and slot are not `wanted` is passed over. Returns the names of the orgs that were left to
        another process that polls them.
        """
        demand = await count_by_data_center(self._database, names)
        self.share_out(demand)
        at_once = polls_at_once(self._settings.concurrency)
        claims = HandClaims(self._database, at_once=at_once, sleep=self._world.sleep)
        probes = names is not None if probe is None else probe
        plans = {name: claims.claimed(self._plans(self._pages(names, name), wanted, probe=probes)) for name in demand}
        keeping = asyncio.create_task(claims.keep(), name="keep claims")
        try:
            await self._poll(plans, demand, committed, claims)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await claims.release_all()
        for one in claims.left:
            await self.give_back(one)
        return [one.pollable.org.name for one in claims.left]

    def _pages(self, names: Sequence[str] | None, data_center: str) -> AsyncIterator[Sequence[PollableOrg]]:
        return pages_of_active(
            self._database,
            names,
            now=self._world.now(),
            api_version=self._settings.api_version,
            interval_seconds=self._settings.poll_interval_seconds,
            data_center=data_center,
        )

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Reserve requests in flight for each data centre, in proportion to the polls its orgs need."""
        self._limiter.share_out(demand)

    async def read_slots(
        self, due: Sequence[Due], own_jobs: Sequence[int], now: datetime, silence: timedelta
    ) -> list[PollableSlot | None]:
        """What is known of these slots, in their order; None for those of removed orgs. See `store.pollable_slots`."""
        return await read_slots(
            self._database,
            due,
            own_jobs,
            now=now,
            silence=silence,
            api_version=self._settings.api_version,
            interval_seconds=self._settings.poll_interval_seconds,
        )

    def state_of(self, found: PollableSlot, due: Due, now: datetime) -> PollState:
        """The same as the decision takes it, but for what a worker knows."""
        return state_of_slot(found, due, now, self._settings, unopened=self._unopened(found.pollable))

    def plan_slot(self, found: PollableSlot, due: Due, now: datetime, decision: Poll | Record) -> Plan:
        """A poll, or the row that says why there is none. Nothing is reserved yet: see `reserve`."""
        return plan_slot(found.pollable, due, now, self._settings, decision)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of this process's encryption keys, the encrypting one first."""
        return self._keyring.ids

    async def give_back(self, plan: Plan) -> None:
        """Take back what `reserve` counted for a poll that was not begun."""
        await credit_store.correct(self._database, {plan.pollable.org.id: -plan.cost}, plan.at)

    def _unopened(self, pollable: PollableOrg) -> str | None:
        """The error where the key of its credentials is not among this process's; logged once for each key."""
        key_id = pollable.key_id
        if key_id is None or key_id in self._keyring.ids:
            return None
        if key_id not in self._missing_keys:
            self._missing_keys.add(key_id)
            log.error("key.missing", key=key_id, org=pollable.org.name, remedy=remedy_for(KEY_MISSING))
        return KEY_MISSING

    def _plan(self, pollable: PollableOrg, *, probe: bool) -> Plan:
        return plan(pollable, self._world.now(), self._settings, probe=probe, unopened=self._unopened(pollable))

    async def _poll(
        self,
        plans: Mapping[str, AsyncGenerator[Plan]],
        demand: Mapping[str, float],
        committed: Committed,
        claims: HandClaims,
    ) -> None:
        async def write(batch: Sequence[PollResult]) -> None:
            await self.write(batch)
            await claims.release([one.org.id for one in batch])

        async with BatchWriter(write, committed=committed) as sink, AsyncExitStack() as generators:
            for one in plans.values():
                generators.push_async_callback(one.aclose)

            async def carry_out(plan: Plan) -> None:
                polled = await self._carry_out_or_explain(plan)
                if not polled.removed:
                    await sink.put(polled)

            at_once = polls_at_once(self._settings.concurrency)
            await for_each_by_data_center(plans, carry_out, demand, at_once=at_once)

    async def _plans(
        self, pages: AsyncIterator[Sequence[PollableOrg]], wanted: Callable[[int, datetime], bool], *, probe: bool
    ) -> AsyncGenerator[Plan]:
        """What to do with each org, a page's credits reserved at once.

        The next page is made ready while this one is polled: else every poll would wait for PostgreSQL at its end.
        """

        async def planned() -> AsyncGenerator[list[Plan]]:
            async for page in pages:
                plans = [self._plan(pollable, probe=probe) for pollable in page]
                plans = [one for one in plans if wanted(one.pollable.org.id, one.slot)]
                await self.reserve(plans)
                yield plans

        async with aclosing(one_ahead(planned())) as ahead:
            async for plans in ahead:
                for one in plans:
                    yield one

    async def reserve(self, plans: Sequence[Plan]) -> None:
        """Count what these polls will cost, before the first request of any leaves."""
        costs = {one.pollable.org.id: one.cost for one in plans if one.cost}
        if costs:
            await credit_store.spend(self._database, costs, plans[0].at)

    async def _carry_out_or_explain(self, plan: Plan) -> PollResult:
        """A mistake of ours about one org leaves a row that says so, and the others theirs."""
        try:
            return await self.carry_out(plan)
        except PollerError:
            raise
        except Exception:
            log.exception("poll.crashed", org=plan.pollable.org.name, slot=plan.slot.isoformat())
            return not_polled(plan, Outcome.MISSED, CRASHED)

    async def carry_out(self, plan: Plan, unanswered: Callable[[str], None] = lambda _code: None) -> PollResult:
        """Ask the org, or write down why not; what came of it is still to be written. `unanswered`: see `poll_org`."""
        org = plan.pollable.org
        late_seconds = 0 if plan.due_at is None else max(int((self._world.now() - plan.due_at).total_seconds()), 0)
        if plan.refusal is not None:
            outcome, code = plan.refusal.outcome, plan.refusal.error
            if plan.refusal.missed:
                return not_polled(plan, outcome, code)
            snapshot = replace(_not_asked(org, plan.slot, plan.at, outcome, code), late_seconds=late_seconds)
            return PollResult(org, snapshot)
        limits = limits_of(org.edition, self._settings.in_flight_share)
        with (
            bound(org=org.name, slot=plan.slot.isoformat()),
            self._limiter.org(org.id, limits, plan.pollable.quota, data_center=org.data_center) as line,
        ):
            info = OrgInfoRefresh(self._database, self._world, org, line)
            snapshot = await poll_org(
                org,
                plan.slot,
                line,
                self._world,
                known_token=plan.pollable.token(self._keyring),
                late_seconds=late_seconds,
                unanswered=unanswered,
                prove=info.prove if plan.prove else None,
            )
            if plan.learn and snapshot.counts:
                snapshot = await info.refresh(snapshot)
            # The first of a quota's fields is due_at, which every request moves: of no use to the next process.
            changed = line.quota[1:] != plan.pollable.quota[1:] or snapshot.credits_remaining is not None
            lesson = RateLimitUpdate(org.id, line.quota, snapshot.credits_remaining, plan.at) if changed else None
        polled = PollResult(org, snapshot, lesson, plan.cost, plan.at, plan.pollable.parked, info.requests)
        if polled.unopened is not None:
            unknown = not_polled(plan, Outcome.MISSED, polled.unopened).snapshot
            return replace(polled, snapshot=unknown)
        gone = snapshot.error == NO_CREDENTIALS and not snapshot.counts and plan.pollable.client_id is not None
        return replace(polled, removed=gone)

    async def write(self, batch: Sequence[PollResult], *, new: bool = False) -> None:
        """Commit a batch, and what it taught; `new`: of slots that nothing was known of.

        Written again after an error it can only make the poller more careful.
        """
        await write_snapshots(self._database, [one.snapshot for one in batch], new=new, skip_purged=True)
        lessons = {one.org.id: one.lesson for one in batch if one.lesson is not None}
        if lessons:
            await save_limits(self._database, list(lessons.values()))
        for one in batch:
            with bound(org=one.org.name, slot=one.snapshot.slot.isoformat()):
                await self._health.update(one.org, one.snapshot, one.parked, probed=one.reserved > 0)
        differences = _credit_corrections(batch)
        if differences:
            async with self._database.transaction() as connection:
                for at, of_moment in differences.items():
                    await credit_store.correct(connection, of_moment, at)


def not_polled(plan: Plan, outcome: Outcome, error: str) -> PollResult:
    """The row of an org that nothing was heard of, whatever was reserved for it."""
    org = plan.pollable.org
    return PollResult(org, Snapshot(org.id, plan.slot, None, outcome, error, dict.fromkeys(USER_TYPES, error)))


def _not_asked(org: Org, slot: datetime, at: datetime, outcome: Outcome, code: str) -> Snapshot:
    return Snapshot(org.id, slot, at, outcome, code, dict.fromkeys(USER_TYPES, code))


def _credit_corrections(batch: Sequence[PollResult]) -> dict[datetime, dict[int, int]]:
    """By the moment of the reservation, what each org spent beyond what was reserved for it; less than 0: not as much.

    Whoever dies before this has reserved in full: an error on that side costs the customer nothing.
    """
    beside: dict[datetime, dict[int, int]] = {}
    for one in batch:
        difference = one.snapshot.requests + one.extra_requests - one.reserved
        if difference and one.reserved_at is not None:
            of_moment = beside.setdefault(one.reserved_at, {})
            of_moment[one.org.id] = of_moment.get(one.org.id, 0) + difference
    return beside
