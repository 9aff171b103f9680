from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from poller.app import open_runner
from poller.core.schedule import Due
from poller.polling.hand_claims import HEARTBEAT_TIMEOUT
from poller.polling.poll_all import poll_all
from poller.store.queue import hand_claims
from poller.store.queue.jobs import JobQueue, NewJob, enqueue
from poller.store.queue.schedules import POLL, due_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.polling.results import PollResult

    OpenService = Callable[..., Any]


async def test_commands_and_workers_that_poll_the_same_orgs_never_exceed_the_limit_of_an_org(
    service: OpenService,
) -> None:
    polled: list[PollResult] = []
    # Each poll asks all ten at once: two polls of an org are more than ten in flight, and more than some orgs allow.
    slow = {"latency_median_seconds": 0.1, "latency_p99_seconds": 0.2}
    async with (
        service(orgs=6, interval=4, options=slow, in_flight_share=0.4) as mine,
        mine.worker(),
        AsyncExitStack() as commands,
    ):
        fleets = [await commands.enter_async_context(open_runner(mine.app)) for _ in range(3)]
        for _ in range(3):
            left = await asyncio.gather(*(poll_all(fleet, None, polled.extend) for fleet in fleets))
            assert left == [[], [], []]
    assert len(polled) == 3 * 3 * 6
    assert {one.snapshot.outcome.value for one in polled} == {"ok"}
    audit = mine.sim.audit()
    assert (audit["breaches"], audit["most_in_flight"]) == ([], 10)
    assert {row["outcome"] for row in await mine.rows()} == {"ok"}


async def test_an_org_polled_by_another_process_is_skipped_and_named(service: OpenService) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    polled: list[PollResult] = []
    async with service(orgs=3, interval=3_600) as mine, open_runner(mine.app, sleep=sleep) as fleet:
        database = mine.app.database
        org_id, name = await database.fetchrow("SELECT id, name FROM orgs ORDER BY id LIMIT 1")
        slot = await database.fetchval("SELECT date_trunc('hour', now())")
        job = NewJob(
            POLL, f"{org_id}:{slot}", due_payload(Due(org_id, slot, 3_600)), HEARTBEAT_TIMEOUT - HEARTBEAT_TIMEOUT
        )
        await enqueue(database, [job])
        worker = JobQueue(database, uuid.uuid4())
        assert len(await worker.claim((POLL,), 1)) == 1
        assert await poll_all(fleet, None, polled.extend) == [name]
        assert sorted(one.org.id for one in polled) == [org_id + 1, org_id + 2]
        assert (
            await database.fetchval("SELECT count(*) FROM credit_spend WHERE org_id = $1 AND credits > 0", org_id) == 0
        )
        assert await database.fetchval("SELECT count(*) FROM pgqueuer WHERE dedupe_key LIKE '%by-hand'") == 0


async def test_one_of_two_commands_holds_an_org_until_it_releases_it_or_its_heartbeat_stops(
    service: OpenService,
) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, one, other = mine.app.database, uuid.uuid4(), uuid.uuid4()
        org_id = await database.fetchval("SELECT id FROM orgs")
        due = Due(org_id, await database.fetchval("SELECT date_trunc('hour', now())"), 3_600)
        (job,) = (await hand_claims.claim(database, one, [due], HEARTBEAT_TIMEOUT)).values()
        assert await hand_claims.claim(database, other, [due], HEARTBEAT_TIMEOUT) == {}
        assert await hand_claims.polled_elsewhere(database, one, [org_id], HEARTBEAT_TIMEOUT) == set()
        assert await hand_claims.polled_elsewhere(database, other, [org_id], HEARTBEAT_TIMEOUT) == {org_id}
        assert await hand_claims.polled_elsewhere(database, other, [org_id + 1], HEARTBEAT_TIMEOUT) == set()
        await hand_claims.release(database, other, [job])
        assert await hand_claims.claim(database, other, [due], HEARTBEAT_TIMEOUT) == {}
        await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 s'")
        await hand_claims.keep(database, one)
        assert await hand_claims.claim(database, other, [due], HEARTBEAT_TIMEOUT) == {}
        await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 s'")
        assert await hand_claims.polled_elsewhere(database, other, [org_id], HEARTBEAT_TIMEOUT) == set()
        assert await hand_claims.claim(database, other, [due], HEARTBEAT_TIMEOUT) == {org_id: job}
        await hand_claims.release(database, other, [job])
        assert list(await hand_claims.claim(database, one, [due], HEARTBEAT_TIMEOUT)) == [org_id]


async def test_a_worker_takes_over_the_claim_of_a_command_that_died(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database = mine.app.database
        org_id = await database.fetchval("SELECT id FROM orgs")
        due = Due(org_id, await database.fetchval("SELECT date_trunc('hour', now()) - interval '1 hour'"), 3_600)
        await hand_claims.claim(database, uuid.uuid4(), [due], HEARTBEAT_TIMEOUT)
        await database.execute("UPDATE pgqueuer SET heartbeat = now() - interval '31 s'")
        async with mine.worker():
            await mine.until("SELECT count(*) = 1 FROM org_snapshots WHERE slot = $1", due.slot)
            await mine.until("SELECT count(*) = 0 FROM pgqueuer WHERE dedupe_key LIKE '%by-hand'")
