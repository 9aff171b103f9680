"""A worker and failures of PostgreSQL: locks, timeouts, lost connections, no replies, missing privileges."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from poller.core.errors import DatabaseError
from poller.polling.instrumentation import NullInstrumentation
from poller.store.database import connect
from poller.store.series.partitions import ensure_partitions
from tests.postgres import run_on
from tests.worker.cable import Cable
from tests.worker.conftest import QUICK
from tests.worker.lag import measured_lag
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from poller.core.model import Snapshot
    from poller.polling.results import PollResult
    from poller.store.database import Database

    OpenService = Callable[..., Any]


class Written(NullInstrumentation):
    """Records the written batches."""

    def __init__(self) -> None:
        self.batches: list[list[PollResult]] = []

    def results_committed(self, batch: Sequence[PollResult]) -> None:
        self.batches.append(list(batch))


class Counting(NullInstrumentation):
    """Counts the refusals of PostgreSQL."""

    errors = 0

    def database_error(self) -> None:
        self.errors += 1


def ended_at(snapshot: Snapshot) -> datetime | None:
    """The time of the last reply; None without a request."""
    return None if snapshot.polled_at is None else snapshot.polled_at + timedelta(milliseconds=snapshot.duration_ms)


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[None]:
    """Another session holds an exclusive lock on the table."""
    async with database.transaction() as connection:
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


async def all_ok(mine: Any, orgs: int) -> Any:
    """Waits until every org was polled and has a token; returns the time."""
    await mine.until(f"SELECT count(DISTINCT org_id) = {orgs} FROM org_snapshots WHERE outcome = 'ok'")
    return await mine.app.database.fetchval("SELECT now()")


async def no_slot_is_missing(mine: Any, seconds: float) -> list[Any]:
    """While a worker runs: returned slots get their rows, and then no row is missing."""
    await mine.until(_WHOLE, seconds)
    assert mine.sim.audit()["breaches"] == []
    rows: list[Any] = await mine.rows()
    return rows


# Whether every org has a row for each slot from its first to its last.
_WHOLE = """
SELECT bool_and(rows = extract(epoch FROM last - first) / $1::float8 + 1)
FROM (SELECT count(*) AS rows, min(slot) AS first, max(slot) AS last FROM org_snapshots GROUP BY org_id) AS orgs
"""


async def test_snapshots_are_kept_during_a_lock_longer_than_the_command_timeout(
    service: OpenService, database_url: str
) -> None:
    async with (
        service(orgs=6, interval=8, options={"latency_median_seconds": 0.3}) as mine,
        await connect(database_url, command_timeout=1.0) as impatient,
    ):
        with structlog.testing.capture_logs() as logs:
            async with mine.worker(database=impatient) as worker:
                await all_ok(mine, 6)
                # One lock prevents writing rows, the other also prevents starting polls.
                async with locked(mine.app.database, "latest_snapshots"):
                    await eventually(lambda: worker.facts()["held"])
                    async with locked(mine.app.database, "org_snapshots"):
                        await eventually(lambda: worker.database_retry.active)
                        assert worker.not_ready_reason() == "PostgreSQL: no answer in time"
                        await mine.until("SELECT (facts->>'held')::int > 0 FROM workers")
                await eventually(lambda: not worker.facts()["held"])
                back_at = await mine.app.database.fetchval("SELECT now()")
                await mine.until(
                    "SELECT count(DISTINCT org_id) = 6 FROM org_snapshots WHERE outcome = 'ok' AND polled_at > $1",
                    back_at,
                )
                rows = await no_slot_is_missing(mine, 8.0)
        assert {row["requests"] for row in rows if row["outcome"] == "ok"} == {10}
        assert sum(entry["event"] == "database.away" for entry in logs) <= 2
        assert worker.lost_rows == 0


async def test_snapshots_held_in_memory_are_limited_counted_and_written_in_order(
    service: OpenService, database_url: str
) -> None:
    config = replace(QUICK, max_concurrent_polls=3, batch_rows=2)
    bound = 8 * config.batch_rows + config.max_concurrent_polls
    written = Written()
    async with (
        service(orgs=40, interval=12) as mine,
        await connect(database_url, command_timeout=1.0) as impatient,
        mine.worker(config, database=impatient, instrumentation=written) as worker,
    ):
        await all_ok(mine, 40)
        # Polls are claimed as before; only writing their rows is not to be done.
        async with locked(mine.app.database, "latest_snapshots"):
            before = len(written.batches)
            await eventually(
                lambda: (
                    worker.facts()["under_way"] == config.max_concurrent_polls
                    and worker.facts()["held"] > config.max_concurrent_polls
                )
            )
            await mine.until("SELECT count(*) > 5 FROM pgqueuer WHERE status = 'queued' AND execute_after < now()")
            held = worker.facts()["held"]
            assert config.max_concurrent_polls < held <= bound
            told = "SELECT (facts->>'held')::int FROM workers"
            assert await mine.until(f"{told} WHERE (facts->>'held')::int > 0") <= bound
        await eventually(lambda: sum(map(len, written.batches[before:])) >= held)
        ends = [[end for one in batch if (end := ended_at(one.snapshot))] for batch in written.batches[before:]]
        ends = [batch for batch in ends if batch]
        slack = timedelta(seconds=0.1)
        assert all(max(earlier) <= min(later) + slack for earlier, later in pairwise(ends))
        assert worker.lost_rows == 0


async def test_a_server_that_accepts_no_writes_is_logged_once_and_retried_with_pauses(
    service: OpenService, database_url: str
) -> None:
    base = database_url.rpartition("/")[2].partition("?")[0]
    name = f"reader {uuid.uuid4().hex[:8]}"
    away = Counting()
    async with service(orgs=4, interval=3) as mine, await connect(database_url, application_name=name) as reader:
        with structlog.testing.capture_logs() as logs:
            async with mine.worker(database=reader, instrumentation=away) as worker:
                await all_ok(mine, 4)
                # As a primary that has become a replica does.
                await run_on(database_url, f'ALTER DATABASE "{base}" SET default_transaction_read_only = on')
                await mine.app.database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name
                )
                loop = asyncio.get_running_loop()
                began, before = loop.time(), away.errors
                await eventually(lambda: away.errors > before + 30)
                assert loop.time() - began > 3
                assert "read-only" in (worker.not_ready_reason() or "")
                await mine.app.database.execute(f'ALTER DATABASE "{base}" RESET default_transaction_read_only')
                await eventually(lambda: worker.not_ready_reason() is None)
        assert [entry["event"] for entry in logs].count("database.away") <= 2


async def test_repeatedly_killed_connections_lose_no_snapshot(service: OpenService, database_url: str) -> None:
    name = f"victim {uuid.uuid4().hex[:8]}"
    async with (
        service(orgs=8, interval=3) as mine,
        await connect(database_url, application_name=name) as victim,
        mine.worker(database=victim) as worker,
    ):
        await all_ok(mine, 8)
        for _ in range(20):
            await mine.app.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name
            )
            await asyncio.sleep(0.15)  # for a claim, a poll or a write to be under way at the next blow
        calm_at = await mine.app.database.fetchval("SELECT now()")
        await mine.until(
            "SELECT count(DISTINCT org_id) = 8 FROM org_snapshots WHERE outcome = 'ok' AND slot > $1",
            calm_at,
        )
        rows = await no_slot_is_missing(mine, 3.0)
    assert {row["outcome"] for row in rows} <= {"ok", "missed"}
    assert worker.lost_rows == 0


async def test_a_statement_timeout_is_retried(service: OpenService, database_url: str) -> None:
    base = database_url.rpartition("/")[2].partition("?")[0]
    name = f"hurried {uuid.uuid4().hex[:8]}"
    async with (
        service(orgs=6, interval=8, options={"latency_median_seconds": 0.3}) as mine,
        await connect(database_url, application_name=name) as hurried,
    ):
        with structlog.testing.capture_logs() as logs:
            async with mine.worker(database=hurried) as worker:
                await all_ok(mine, 6)
                # New sessions cancel every statement that takes half a second.
                await run_on(database_url, f"ALTER DATABASE \"{base}\" SET statement_timeout = '500ms'")
                await mine.app.database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name
                )
                # The worker has new sessions, and has got over the loss of the old ones.
                await mine.until("SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = $1", name)
                await eventually(lambda: not worker.database_retry.active)
                async with locked(mine.app.database, "latest_snapshots"):
                    await eventually(lambda: worker.database_retry.active and worker.facts()["held"])
                await run_on(database_url, f'ALTER DATABASE "{base}" RESET statement_timeout')
                await eventually(lambda: not worker.database_retry.active)
                back_at = await mine.app.database.fetchval("SELECT now()")
                await mine.until(
                    "SELECT count(DISTINCT org_id) = 6 FROM org_snapshots WHERE outcome = 'ok' AND slot > $1",
                    back_at,
                )
                await no_slot_is_missing(mine, 8.0)
        assert worker.lost_rows == 0
        assert any("statement timeout" in entry.get("why", "") for entry in logs)


async def test_a_stopped_worker_ends_after_its_grace_period_even_if_the_database_does_not_answer(
    service: OpenService, database_url: str
) -> None:
    config = replace(QUICK, shutdown_grace_seconds=2.0, final_flush_seconds=0.5)
    async with (
        service(orgs=3, interval=4) as mine,
        Cable(database_url) as cable,
        await connect(cable.dsn) as cabled,
    ):
        loop = asyncio.get_running_loop()
        async with measured_lag(database_url) as lag, mine.worker(config, database=cabled):
            await all_ok(mine, 3)
            cable.clog()
            # Its loops hang in statements that would time out in a minute.
            await mine.until("SELECT count(*) FROM pgqueuer WHERE status = 'queued' AND execute_after < now()")
            stopped_at = loop.time()
        # A grace of 2.5 seconds is the wall's.
        assert loop.time() - stopped_at < 8 + lag.of_a_poll
        cable.unclog()


async def test_a_revoked_privilege_ends_the_worker_with_one_error(service: OpenService, database_url: str) -> None:
    role = f"worker_{uuid.uuid4().hex[:8]}"
    await run_on(database_url, f"CREATE ROLE {role} LOGIN")
    try:
        for grant in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            await run_on(database_url, f"GRANT ALL ON ALL {grant} IN SCHEMA public TO {role}")
        as_role = database_url.replace("://poller@", f"://{role}@")
        assert role in as_role
        async with service(orgs=2, interval=2) as mine, await connect(as_role) as limited:
            now = datetime.now(UTC)
            await ensure_partitions(mine.app.database, now, now)
            with pytest.raises(ExceptionGroup) as caught:
                async with mine.worker(database=limited):
                    await all_ok(mine, 2)
                    await mine.app.database.execute(f"REVOKE INSERT ON org_snapshots FROM {role}")
                    await asyncio.Event().wait()
            assert caught.group_contains(DatabaseError, match="permission denied for table org_snapshots; use the role")
    finally:
        await run_on(database_url, f"DROP OWNED BY {role}")
        await run_on(database_url, f"DROP ROLE {role}")
