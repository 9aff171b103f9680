"""The fleet, once: every org gets its poll and its row, one org's trouble never touching another's.

Credits are reserved in PostgreSQL before the first request of a poll leaves, a page of orgs at once, so that a crash
can only make the poller more careful. What a poll cost beyond that, and what it taught, goes with its row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from poller.core.errors import CredentialError
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot
from poller.core.quota import (
    REQUESTS_PER_POLL,
    affordable_interval,
    credits_to_spend,
    daily_credits,
    limits_of,
)
from poller.core.remedies import remedy_for
from poller.core.reply import BY_CODE
from poller.core.slots import slot_of
from poller.poll import World, poll_org
from poller.sink import Sink
from poller.store import credits as credit_store
from poller.store.limits import Lesson, save_limits
from poller.store.orgs import park, unpark
from poller.store.pollable import pages_of_active, read_pollable
from poller.store.snapshots import write_snapshots
from poller.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from datetime import datetime

    from poller.core.schedule import Due
    from poller.core.token import StoredToken
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.pollable import PollableOrg
    from poller.store.secrets import Keyring
    from poller.zoho.limiter import Limiter

CREDIT_SHARE_SPENT: Final = "credit_share_spent"

Committed = Callable[[Sequence["Polled"]], None]
"""Told of every batch of polls once its rows are safe."""

log = structlog.get_logger("poller.fleet")


@dataclass(frozen=True, slots=True)
class Polled:
    """One org's poll, on its way to the store: the row, what it taught, and what was reserved for it."""

    org: Org
    snapshot: Snapshot
    lesson: Lesson | None = None
    reserved: int = 0
    reserved_at: datetime | None = None
    was_parked: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with one org now: ask it, or write down why not."""

    pollable: PollableOrg
    slot: datetime
    at: datetime
    refusal: tuple[Outcome, str] | None
    due_at: datetime | None = None
    """When it was to be polled, where there is a schedule: later than that is late."""


def _always(_org_id: int, _slot: datetime) -> bool:
    return True


class Fleet:
    """Polls orgs side by side, each under its own limits, and commits a row for each of them."""

    def __init__(
        self, settings: Settings, database: Database, keyring: Keyring, limiter: Limiter, world: World
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._limiter = limiter
        self._world = world

    async def poll_now(
        self, names: Sequence[str] | None, committed: Committed, *, wanted: Callable[[int, datetime], bool] = _always
    ) -> None:
        """Poll every active org once, now, or those named, parked ones too; a `UsageError` if a name is unknown.

        An org whose id and slot are not `wanted` is passed over.
        """
        pages = pages_of_active(
            self._database,
            names,
            now=self._world.now(),
            api_version=self._settings.api_version,
            interval_seconds=self._settings.poll_interval_seconds,
        )
        await self._poll(self._plans(pages, wanted, probe=names is not None), committed)

    async def plan_due(self, due: Sequence[Due]) -> list[Plan]:
        """What to do about these slots, each of another org; those of orgs removed meanwhile are left out.

        Nothing is reserved yet: `reserve` what is to be carried out.
        """
        now = self._world.now()
        of_org = {one.org_id: one for one in due}
        pollables = await read_pollable(
            self._database,
            list(of_org),
            now=now,
            api_version=self._settings.api_version,
            interval_seconds=self._settings.poll_interval_seconds,
        )
        plans = [plan(pollable, now, self._settings) for pollable in pollables]
        return [
            replace(one, slot=of_org[one.pollable.org.id].slot, due_at=of_org[one.pollable.org.id].at) for one in plans
        ]

    async def _poll(self, plans: AsyncGenerator[Plan], committed: Committed) -> None:
        async with Sink(self.write, committed=committed) as sink, aclosing(plans):

            async def carry_out(plan: Plan) -> None:
                await sink.put(await self.carry_out(plan))

            # An org of the smallest edition has two requests in flight: this many orgs use every permit.
            await sweep(plans, carry_out, at_once=math.ceil(self._settings.concurrency / 2))

    async def _plans(
        self, pages: AsyncIterator[Sequence[PollableOrg]], wanted: Callable[[int, datetime], bool], *, probe: bool
    ) -> AsyncGenerator[Plan]:
        """What to do with each org, a page's credits reserved at once."""
        async for page in pages:
            plans = [plan(pollable, self._world.now(), self._settings, probe=probe) for pollable in page]
            plans = [one for one in plans if wanted(one.pollable.org.id, one.slot)]
            await self.reserve(plans)
            for one in plans:
                yield one

    async def reserve(self, plans: Sequence[Plan]) -> None:
        """Count what these polls will cost, before the first request of any leaves."""
        costs = {one.pollable.org.id: REQUESTS_PER_POLL for one in plans if one.refusal is None}
        if costs:
            await credit_store.spend(self._database, costs, plans[0].at)

    async def carry_out(self, plan: Plan) -> Polled:
        """Ask the org, or write down why not; what came of it is still to be written."""
        org, was_parked = plan.pollable.org, plan.pollable.parked is not None
        late_seconds = 0 if plan.due_at is None else max(int((self._world.now() - plan.due_at).total_seconds()), 0)
        if plan.refusal is not None:
            snapshot = replace(_not_asked(org, plan.slot, plan.at, *plan.refusal), late_seconds=late_seconds)
            return Polled(org, snapshot)
        limits = limits_of(org.edition, self._settings.in_flight_share)
        with self._limiter.org(org.id, limits, plan.pollable.quota) as line:
            snapshot = await poll_org(
                org,
                plan.slot,
                line,
                self._world,
                known_token=self._known_token(plan.pollable),
                late_seconds=late_seconds,
            )
            # The first of a quota's fields is due_at, which every request moves: of no use to the next process.
            learnt = line.quota[1:] != plan.pollable.quota[1:] or snapshot.credits_remaining is not None
            lesson = Lesson(org.id, line.quota, snapshot.credits_remaining, plan.at) if learnt else None
        return Polled(org, snapshot, lesson, REQUESTS_PER_POLL, plan.at, was_parked)

    async def write(self, batch: Sequence[Polled]) -> None:
        """Commit a batch, and what it taught. Written again after an error it can only make the poller more careful."""
        await write_snapshots(self._database, [one.snapshot for one in batch])
        lessons = {one.org.id: one.lesson for one in batch if one.lesson is not None}
        if lessons:
            await save_limits(self._database, list(lessons.values()))
        for one in batch:
            await self._judge_health(one)
        for at, owed in _overspent(batch).items():
            await credit_store.spend(self._database, owed, at)

    def _known_token(self, pollable: PollableOrg) -> StoredToken | None:
        """The token read with the org. One that the keys at hand do not open is the token flow's to deal with."""
        try:
            return pollable.token(self._keyring)
        except CredentialError:
            return None

    async def _judge_health(self, polled: Polled) -> None:
        """Park what a person must mend, unpark what answers again."""
        org, snapshot = polled.org, polled.snapshot
        if snapshot.counts:
            if polled.was_parked and await unpark(self._database, org.id):
                log.info("org.unparked", org=org.name)
        elif snapshot.outcome in {Outcome.UNAUTHORIZED, Outcome.FORBIDDEN} and snapshot.requests and snapshot.error:
            # Where no request left, the token's own judge has parked the org already.
            remedy = remedy_for(snapshot.error)
            await park(self._database, org.id, snapshot.error, remedy, self._world.now())
            log.warning("org.parked", org=org.name, code=snapshot.error, remedy=remedy)


def plan(pollable: PollableOrg, now: datetime, settings: Settings, *, probe: bool = False) -> Plan:
    """Which slot of this org `now` belongs to, and whether it may be asked at all."""
    org = pollable.org
    allowance = daily_credits(org.edition, org.licences)
    slot = slot_of(now, affordable_interval(org.interval_seconds, allowance, settings.credit_share))
    refusal: tuple[Outcome, str] | None = None
    if pollable.parked is not None and not probe and now < pollable.parked.probe_at:
        code = pollable.parked.code
        refusal = (BY_CODE[code].outcome if code in BY_CODE else Outcome.UNAUTHORIZED), code
    else:
        read_at = pollable.credits_remaining_at
        age = math.inf if read_at is None else (now - read_at) / timedelta(seconds=1)
        left = credits_to_spend(
            allowance, settings.credit_share, pollable.credits_spent, pollable.credits_remaining, age
        )
        if left < REQUESTS_PER_POLL:
            refusal = Outcome.THROTTLED, CREDIT_SHARE_SPENT
    return Plan(pollable, slot, now, refusal)


def _not_asked(org: Org, slot: datetime, at: datetime, outcome: Outcome, code: str) -> Snapshot:
    return Snapshot(org.id, slot, at, outcome, code, dict.fromkeys(USER_TYPES, code))


def _overspent(batch: Sequence[Polled]) -> dict[datetime, dict[int, int]]:
    """By the moment of the reservation, what each org spent beyond what was reserved for it.

    What was reserved and not spent is not given back: an error on that side costs the customer nothing.
    """
    owed: dict[datetime, dict[int, int]] = {}
    for one in batch:
        difference = one.snapshot.requests - one.reserved
        if difference > 0 and one.reserved_at is not None:
            of_moment = owed.setdefault(one.reserved_at, {})
            of_moment[one.org.id] = of_moment.get(one.org.id, 0) + difference
    return owed
