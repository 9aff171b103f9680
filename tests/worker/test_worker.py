from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from poller.core.schedule import Due
from poller.store.access.roles import grant_readers
from poller.store.database import connect
from poller.worker.maintenance import maintenance_tasks
from tests.pgbouncer import needs_pgbouncer, running_pgbouncer
from tests.postgres import run_on
from tests.worker.lag import measured_lag

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenService = Callable[..., Any]


async def test_every_org_is_polled_once_in_every_slot_and_on_time(service: OpenService, database_url: str) -> None:
    async with service(orgs=8, interval=4) as mine:
        async with mine.worker(), measured_lag(database_url) as lag:
            await mine.until("SELECT count(*) >= 8 * 3 FROM org_snapshots WHERE outcome = 'ok'")
        rows = await mine.rows()
        assert {row["outcome"] for row in rows} == {"ok"}
        assert {row["requests"] for row in rows} == {10}
        for name in mine.names:
            slots = [row["slot"] for row in rows if row["name"] == name]
            assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(seconds=4)}
        for row in rows:
            lateness = row["polled_at"] - Due(row["org_id"], row["slot"], 4).at
            assert timedelta(0) <= lateness < timedelta(seconds=1.5 + lag.of_a_poll)
        assert mine.sim.audit()["breaches"] == []


async def test_workers_share_the_orgs_and_poll_no_slot_twice(service: OpenService) -> None:
    async with service(orgs=12, interval=1) as mine:
        async with mine.worker(), mine.worker(), mine.worker():
            await mine.until("SELECT count(*) >= 12 * 6 FROM org_snapshots WHERE outcome = 'ok'")
            workers = await mine.app.database.fetch("SELECT facts FROM workers")
        assert len(workers) == 3
        # `poller plan` tells from these what a poll costs a processor.
        assert all(row["facts"]["cpu_seconds"] > 0 and row["facts"]["polls"] >= 0 for row in workers)
        rows = await mine.rows()
        known = [row for row in rows if row["outcome"] == "ok"]
        assert {row["requests"] for row in known} == {10}
        # A busy machine may miss slots of a second; none of the missed slots was polled.
        assert {row["outcome"] for row in rows} <= {"ok", "missed"}
        audit = mine.sim.audit()
        assert audit["requests"]["count"] == 10 * len(known)
        assert audit["breaches"] == []
        assert await mine.app.database.fetchval("SELECT count(*) FROM workers") == 0


@needs_pgbouncer
async def test_workers_poll_through_a_pooler_with_a_different_session_for_every_transaction(
    service: OpenService, database_url: str
) -> None:
    with running_pgbouncer(database_url, pool_mode="transaction", default_pool_size=4) as dsn:
        async with (
            service(orgs=12, interval=2) as mine,
            await connect(dsn) as one,
            await connect(dsn) as two,
            mine.worker(database=one),
            mine.worker(database=two),
        ):
            await mine.until("SELECT count(*) >= 12 * 4 FROM org_snapshots WHERE outcome = 'ok'")
            await mine.until("SELECT count(*) >= 6 FROM chores WHERE done_at IS NOT NULL AND error IS NULL")
    rows = await mine.rows()
    assert {row["requests"] for row in rows if row["outcome"] == "ok"} == {10}
    assert mine.sim.audit()["breaches"] == []


async def test_a_guest_with_advisory_locks_and_an_open_transaction_blocks_no_worker(
    service: OpenService, database_url: str
) -> None:
    login = f"guest_{uuid.uuid4().hex}"
    async with service(orgs=4, interval=4) as mine:
        await grant_readers(mine.app.database)
        await run_on(database_url, f"CREATE ROLE {login} LOGIN IN ROLE poller_guest")
        guest = await asyncpg.connect(database_url, user=login)
        try:
            async with guest.transaction(isolation="repeatable_read"):
                for name in (b"days", b"slots", b"months", b"packing", b"poller"):
                    await guest.execute("SELECT pg_advisory_lock($1)", int.from_bytes(name))
                await guest.fetch("SELECT * FROM user_counts")
                with structlog.testing.capture_logs() as logs:
                    async with mine.worker() as worker:
                        await mine.until("SELECT count(*) >= 4 * 3 FROM org_snapshots WHERE outcome = 'ok'")
                        await mine.until("SELECT done_at IS NOT NULL FROM chores WHERE name = 'rollups'")
                        await mine.until("SELECT done_at IS NOT NULL FROM chores WHERE name = 'partitions'")
                        assert worker.not_ready_reason() is None
        finally:
            await guest.close()
            await run_on(database_url, f"DROP ROLE {login}")
        assert {row["outcome"] for row in await mine.rows()} == {"ok"}
        assert not [entry for entry in logs if entry["event"] in {"database.away", "database.locked"}]


async def test_a_worker_that_gets_a_stop_signal_finishes_its_running_polls(service: OpenService) -> None:
    async with service(orgs=6, interval=1, options={"latency_median_seconds": 0.4}) as mine:
        async with mine.worker():
            await mine.until("SELECT count(*) FROM pgqueuer WHERE status = 'picked' AND entrypoint = 'poll'")
        assert await mine.app.database.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'picked'") == 0
        rows = await mine.rows()
        assert rows
        assert {row["outcome"] for row in rows} == {"ok"}


async def test_a_paused_org_is_no_longer_polled_and_its_slots_are_not_gaps(service: OpenService) -> None:
    async with service(orgs=2, interval=1) as mine:
        async with mine.worker():
            await mine.until("SELECT count(DISTINCT org_id) = 2 FROM org_snapshots")
            await mine.app.database.execute(
                "UPDATE orgs SET paused_at = now(), updated_at = now() WHERE name = $1", mine.names[0]
            )
            paused = await mine.app.database.fetchval("SELECT max(slot) FROM org_snapshots")
            await mine.until("SELECT max(slot) > $1::timestamptz + interval '5 s' FROM org_snapshots", paused)
        rows = [row for row in await mine.rows() if row["name"] == mine.names[0]]
        assert max(row["slot"] for row in rows) <= paused + timedelta(seconds=2)
        assert {row["outcome"] for row in rows} == {"ok"}


async def test_slots_without_a_running_poller_are_recorded_as_missed(service: OpenService) -> None:
    async with service(orgs=2, interval=1) as mine:
        async with mine.worker():
            await mine.until("SELECT count(DISTINCT org_id) = 2 FROM org_snapshots")
        # As if no worker had run for ten minutes before.
        await mine.app.database.execute(
            """
            UPDATE org_schedules SET slot = slot - interval '10 minutes', due_at = due_at - interval '10 minutes',
                newest_slot = newest_slot - interval '10 minutes', newest_at = newest_at - interval '10 minutes'
            """
        )
        async with mine.worker():
            await mine.until("SELECT count(*) > 2 * 550 FROM org_snapshots WHERE outcome = 'missed'")
            last = await mine.app.database.fetchval("SELECT max(slot) FROM org_snapshots")
            await mine.until("SELECT count(*) = 0 FROM pgqueuer WHERE entrypoint = 'explain'")
            await mine.until("SELECT max(slot) > $1::timestamptz FROM org_snapshots", last)
        rows = await mine.rows()
        for name in mine.names:
            slots = [row["slot"] for row in rows if row["name"] == name]
            assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(seconds=1)}
        assert {row["error"] for row in rows if row["outcome"] == "missed"} == {"not_running"}


async def test_a_job_of_a_dead_worker_is_polled_once_by_another(service: OpenService) -> None:
    async with service(orgs=4, interval=15) as mine:
        database = mine.app.database
        async with mine.worker():
            await mine.until("SELECT count(*) = 4 FROM pgqueuer WHERE entrypoint = 'poll'")
        before = len(await mine.rows())
        jobs = await database.fetch(
            """
            UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(), heartbeat = now(),
                                execute_after = now() - interval '1 s'
            WHERE entrypoint = 'poll' RETURNING id
            """
        )
        async with mine.worker():
            # By then the worker may have polled a job of its own too, where the machine is slow.
            ended = "SELECT count(*) = 0 FROM pgqueuer WHERE id = ANY($1)"
            await mine.until(ended, [job["id"] for job in jobs])
        rows = await mine.rows()
        assert len(rows) >= before + len(jobs)
        assert {(row["outcome"], row["requests"]) for row in rows} == {("ok", 10)}


async def test_maintenance_tasks_run_and_record_their_result(service: OpenService) -> None:
    async with service(orgs=1, interval=60) as mine:
        async with mine.worker():
            names = [*maintenance_tasks(snapshots=None, days=None), "alerts"]
            await mine.until("SELECT count(*) = $1 FROM chores WHERE done_at IS NOT NULL", len(names))
            await mine.until("SELECT count(*) = 0 FROM pgqueuer WHERE entrypoint = 'chore'")
        done = await mine.app.database.fetch("SELECT name, detail, error FROM chores")
        assert {row["name"] for row in done} == {*names} >= {"partitions", "rollups", "queue log", "retention"}
        assert all(row["detail"] and not row["error"] for row in done)
