"""Runs polls: reserves their credits, polls an org under its limits, commits the results.

Credits are reserved in PostgreSQL before the first request of a poll, so that after a crash the poller spends too
little, never too much. What a poll spent beyond its reservation is counted when its row is committed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from poller.core.admission import Poll, Record
from poller.core.editions import limits_of
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.remedies import remedy_for
from poller.core.token import KEY_MISSING, NO_CREDENTIALS
from poller.log import bound
from poller.polling.instrumentation import NULL_INSTRUMENTATION
from poller.polling.org_health import OrgHealth
from poller.polling.org_info import OrgInfoRefresh
from poller.polling.poll import poll_org
from poller.polling.results import PollResult, credit_corrections, not_polled
from poller.store.orgs import credits as credit_store
from poller.store.orgs.poll_state import read_poll_states
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from poller.core.policy import PollPolicy
    from poller.core.poll_state import PollState
    from poller.core.schedule import Due
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.ports import PollPorts
    from poller.polling.results import Admitted
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.limiter import Limiter

log = structlog.get_logger("poller.polling.runner")


def _ignore(_code: str) -> None:
    pass


class PollRunner:
    """Polls orgs of one database: `reserve`, then `run`, then `commit`. The caller decides which orgs, and when."""

    def __init__(
        self,
        policy: PollPolicy,
        database: Database,
        keyring: Keyring,
        limiter: Limiter,
        ports: PollPorts,
        *,
        max_concurrent_polls: int,
        instrumentation: Instrumentation = NULL_INSTRUMENTATION,
    ) -> None:
        self.policy = policy
        self.database = database
        self.keyring = keyring
        self.limiter = limiter
        self.ports = ports
        self.max_concurrent_polls = max_concurrent_polls
        self._missing_keys: set[str] = set()
        self._health = OrgHealth(database, ports.now)
        self._run = instrumentation.wrap_run(self._run_one)
        self._commit = instrumentation.wrap_commit(self._commit_batch)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of this process's encryption keys, the encrypting one first."""
        return self.keyring.ids

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Reserves requests in flight for each data centre, in proportion to the polls that its orgs need."""
        self.limiter.share_out(demand)

    async def read_states(
        self, due: Sequence[Due], own_jobs: Sequence[int], now: datetime, heartbeat_timeout: timedelta
    ) -> list[PollState | None]:
        """The states of these slots, by one query; see `read_poll_states`."""
        database, keyring, policy = self.database, self.keyring, self.policy
        states = await read_poll_states(
            database, keyring, policy, due, own_jobs, now=now, heartbeat_timeout=heartbeat_timeout
        )
        self.note_missing_keys(states)
        return states

    def note_missing_keys(self, states: Sequence[PollState | None]) -> None:
        """Logs each key once that credentials need and this process does not have."""
        for state in states:
            key_id = None if state is None or state.unopened is None else state.key_id
            if state is not None and key_id is not None and key_id not in self._missing_keys:
                self._missing_keys.add(key_id)
                log.error("key.missing", key=key_id, org=state.org.name, remedy=remedy_for(KEY_MISSING))

    async def reserve(self, admitted: Sequence[Admitted]) -> None:
        """Counts the credits of these polls as spent, in one statement."""
        costs = {state.org.id: decision.cost for state, decision in admitted if isinstance(decision, Poll)}
        if costs:
            await credit_store.spend(self.database, costs, admitted[0][0].now)

    async def give_back(self, state: PollState, decision: Poll) -> None:
        """Gives back the credits reserved for a poll that sent no request."""
        await credit_store.correct(self.database, {state.org.id: -decision.cost}, state.now)

    async def run(
        self, state: PollState, decision: Poll | Record, unanswered: Callable[[str], None] = _ignore
    ) -> PollResult:
        """Polls the org, or makes the row that says why not; the result is not committed yet.

        `unanswered`: see `poll_org`.
        """
        return await self._run(state, decision, unanswered)

    async def commit(self, batch: Sequence[PollResult], *, new: bool = False) -> None:
        """Writes rows, rate limits, parking and credits. `new`: the slots have no rows yet.

        May be repeated after an error: then the poller may count credits twice, but never too few.
        """
        await self._commit(batch, new)

    async def _run_one(
        self, state: PollState, decision: Poll | Record, unanswered: Callable[[str], None]
    ) -> PollResult:
        if isinstance(decision, Record):
            return self._record(state, decision)
        org = state.org
        limits = limits_of(org.edition, self.policy.in_flight_share)
        with (
            bound(org=org.name, slot=state.slot.isoformat()),
            self.limiter.org(org.id, limits, state.rate_limit, data_center=org.data_center) as limiter,
        ):
            info = OrgInfoRefresh(self.database, self.ports, org, limiter)
            snapshot = await poll_org(
                org,
                state.slot,
                limiter,
                self.ports,
                known_token=state.token,
                late_seconds=self._late_seconds(state),
                unanswered=unanswered,
                prove=info.prove if decision.prove_first else None,
            )
            if decision.refresh_info and snapshot.counts:
                snapshot = await info.refresh(snapshot)
            # The first field is due_at, which every request moves: useless to the next process.
            changed = limiter.state[1:] != state.rate_limit[1:] or snapshot.credits_remaining is not None
            update = RateLimitUpdate(org.id, limiter.state, snapshot.credits_remaining, state.now) if changed else None
        result = PollResult(org, snapshot, update, decision.cost, state.now, state.parked, info.requests)
        if result.unopened is not None:
            return replace(result, snapshot=not_polled(state, Outcome.MISSED, result.unopened).snapshot)
        removed = snapshot.error == NO_CREDENTIALS and not snapshot.counts and state.key_id is not None
        return replace(result, removed=True) if removed else result

    def _record(self, state: PollState, decision: Record) -> PollResult:
        if decision.missed:
            return not_polled(state, decision.outcome, decision.error)
        errors, late_seconds = dict.fromkeys(USER_TYPES, decision.error), self._late_seconds(state)
        outcome, error = decision.outcome, decision.error
        return PollResult(
            state.org, Snapshot(state.org.id, state.slot, state.now, outcome, error, errors, late_seconds)
        )

    def _late_seconds(self, state: PollState) -> int:
        return 0 if state.due is None else max(int((self.ports.now() - state.due.at).total_seconds()), 0)

    async def _commit_batch(self, batch: Sequence[PollResult], new: bool) -> None:
        await write_snapshots(self.database, [one.snapshot for one in batch], new=new, skip_purged=True)
        updates = {one.org.id: one.rate_limit for one in batch if one.rate_limit is not None}
        if updates:
            await save_limits(self.database, list(updates.values()))
        for one in batch:
            if one.snapshot.counts and one.parked is None:
                continue  # almost every org: its health does not change
            with bound(org=one.org.name, slot=one.snapshot.slot.isoformat()):
                await self._health.update(one.org, one.snapshot, one.parked, probed=one.reserved > 0)
        if corrections := credit_corrections(batch):
            async with self.database.transaction() as connection:
                for at, by_org in corrections.items():
                    await credit_store.correct(connection, by_org, at)
