"""Polls every active org, or the named orgs, once and now: what `poller poll` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

import structlog

from poller.core.admission import CRASHED, Poll, decide_by_hand
from poller.core.errors import PollerError
from poller.core.model import Outcome
from poller.polling.batch_writer import BatchWriter
from poller.polling.bounded import beside, for_each_by_data_center
from poller.polling.hand_claims import HandClaims, one_ahead
from poller.polling.results import PollResult, not_polled
from poller.store.orgs.poll_state import count_by_data_center, pages_of_poll_states

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import datetime

    from poller.polling.results import Admitted
    from poller.polling.runner import PollRunner

Committed = Callable[[Sequence[PollResult]], None]
"""Called with every batch of results once its rows are committed."""

log = structlog.get_logger("poller.polling.runner")


def _always(_org_id: int, _slot: datetime) -> bool:
    return True


async def poll_all(
    runner: PollRunner,
    names: Sequence[str] | None,
    committed: Committed,
    *,
    wanted: Callable[[int, datetime], bool] = _always,
    probe: bool | None = None,
) -> list[str]:
    """Polls every active org once, or the named orgs; an unknown name is a `UsageError`.

    `probe`: poll parked orgs too; by default only if they are named, else when their probe is due. `wanted` says
    whether to poll an org in a slot. Returns the names of orgs that were left to another process that polls them.
    """
    demand = await count_by_data_center(runner.database, names)
    runner.share_out(demand)
    claims = HandClaims(runner.database, at_once=runner.max_concurrent_polls, sleep=runner.ports.sleep)
    probes = names is not None if probe is None else probe
    admitted = {name: claims.claimed(_admitted(runner, names, name, wanted, probe=probes)) for name in demand}
    try:
        async with beside(claims.keep()):
            await _poll(runner, admitted, demand, committed, claims)
    finally:
        await claims.release_all()
    for state, decision in claims.left:
        if isinstance(decision, Poll):
            await runner.give_back(state, decision)
    return [state.org.name for state, _ in claims.left]


async def _poll(
    runner: PollRunner,
    admitted: Mapping[str, AsyncGenerator[Admitted]],
    demand: Mapping[str, float],
    committed: Committed,
    claims: HandClaims,
) -> None:
    async def write(batch: Sequence[PollResult]) -> None:
        await runner.commit(batch)
        await claims.release([one.org.id for one in batch])

    async with BatchWriter(write, committed=committed) as writer, AsyncExitStack() as generators:
        for one in admitted.values():
            generators.push_async_callback(one.aclose)

        async def poll(one: Admitted) -> None:
            result = await _run_or_explain(runner, one)
            if not result.removed:
                await writer.put(result)

        await for_each_by_data_center(admitted, poll, demand, at_once=runner.max_concurrent_polls)


async def _admitted(
    runner: PollRunner,
    names: Sequence[str] | None,
    data_center: str,
    wanted: Callable[[int, datetime], bool],
    *,
    probe: bool,
) -> AsyncGenerator[Admitted]:
    """Decides about each org of a data centre, and reserves the credits of a page of orgs at once.

    Prefetches the next page while this one is polled, so that polls do not wait for PostgreSQL at the end of a page.
    """

    async def decided() -> AsyncGenerator[list[Admitted]]:
        pages = pages_of_poll_states(
            runner.database,
            runner.keyring,
            runner.policy,
            names,
            now=runner.ports.now,
            data_center=data_center,
            probe=probe,
        )
        async for states in pages:
            runner.note_missing_keys(states)
            page = [(state, decide_by_hand(state)) for state in states if wanted(state.org.id, state.slot)]
            await runner.reserve(page)
            yield page

    async with aclosing(one_ahead(decided())) as ahead:
        async for page in ahead:
            for one in page:
                yield one


async def _run_or_explain(runner: PollRunner, one: Admitted) -> PollResult:
    """After a bug in one org's poll, writes a row that says so; the other orgs are polled as usual."""
    state, decision = one
    try:
        return await runner.run(state, decision)
    except PollerError:
        raise
    except Exception:
        log.exception("poll.crashed", org=state.org.name, slot=state.slot.isoformat())
        return not_polled(state, Outcome.MISSED, CRASHED)
