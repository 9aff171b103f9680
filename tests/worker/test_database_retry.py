from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from poller.core.errors import DatabaseError, LockedError
from poller.store.database import connect
from poller.worker.database_retry import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, DatabaseRetry
from tests.worker.cable import Cable
from tests.worker.lag import measured_lag
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenService = Callable[..., Any]

AWAY = DatabaseError("PostgreSQL: no connection", "start it", passing=True)
BEHIND = DatabaseError("the database is behind", "run `poller migrate`")


class Database:
    """Fails the given number of times."""

    def __init__(self, *errors: DatabaseError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def ask(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def outage(pauses: list[float], jitter: float = 0.0) -> DatabaseRetry:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    return DatabaseRetry(sleep=sleep, jitter=lambda: jitter, clock=lambda: 100.0 + sum(pauses))


async def test_a_transient_database_error_is_retried_with_growing_pauses() -> None:
    pauses: list[float] = []
    assert await outage(pauses).run(Database(*[AWAY] * 10).ask) == "answer"
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


async def test_jitter_shortens_each_pause_by_up_to_half() -> None:
    pauses: list[float] = []
    await outage(pauses, jitter=1.0).run(Database(AWAY).ask)
    assert pauses == [FIRST_PAUSE_SECONDS / 2]


async def test_a_permanent_database_error_is_raised_at_once() -> None:
    pauses: list[float] = []
    database = Database(BEHIND)
    with pytest.raises(DatabaseError, match="poller migrate"):
        await outage(pauses).run(database.ask)
    assert (database.calls, pauses) == (1, [])


async def test_a_caller_that_may_stop_ends_its_retries_at_the_next_failure() -> None:
    pauses: list[float] = []
    database = Database(AWAY, AWAY, AWAY)
    with pytest.raises(DatabaseError):
        await outage(pauses).run(database.ask, stop_when=lambda: len(pauses) == 2)
    assert database.calls == 3


async def test_after_retries_are_abandoned_the_next_failure_is_raised() -> None:
    pauses: list[float] = []
    out, database = outage(pauses), Database(*[AWAY] * 9)
    out.abandoned = True
    with pytest.raises(DatabaseError):
        await out.run(database.ask)
    assert (database.calls, pauses) == (1, [])


async def test_a_database_outage_is_logged_once_for_any_number_of_retries_and_callers() -> None:
    pauses: list[float] = []
    out = outage(pauses)
    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(out.run(Database(*[AWAY] * 7).ask))
    assert [entry["event"] for entry in logs] == ["database.away", "database.back"]
    assert not out.active


async def test_a_lock_of_another_session_is_waited_for_and_not_reported_as_an_outage() -> None:
    pauses: list[float] = []
    out = outage(pauses)
    database = Database(*[LockedError("held by process 1", "end it", passing=True)] * 5)
    with structlog.testing.capture_logs() as logs:
        assert await out.run(database.ask) == "answer"
    assert [entry["event"] for entry in logs] == ["database.locked"]
    assert len(pauses) == 5


async def test_snapshots_taken_during_a_database_outage_are_written_after_it(
    service: OpenService, database_url: str
) -> None:
    async with (
        service(orgs=6, interval=5, options={"latency_median_seconds": 0.3}) as mine,
        Cable(database_url) as cable,
        await connect(cable.dsn) as cabled,
    ):
        with structlog.testing.capture_logs() as logs:
            async with mine.worker(database=cabled) as worker:
                # Tokens first, so that a poll needs the database no more until it is done.
                await mine.until("SELECT count(*) = 6 FROM org_snapshots WHERE outcome = 'ok'")
                await eventually(lambda: worker.facts()["under_way"])
                await cable.cut()
                await eventually(lambda: worker.database_retry.active and not worker.facts()["under_way"])
                # The first error may be that of the cut, before a new connection is tried.
                await eventually(lambda: worker.not_ready_reason() == "PostgreSQL: No such file or directory")
                held = worker.facts()["held"]
                assert held
                written = await mine.app.database.fetchval("SELECT count(*) FROM org_snapshots")
                await cable.repair()
                await mine.until("SELECT count(*) >= $1::bigint FROM org_snapshots", written + held)
                await mine.until("SELECT count(*) >= 6 * 4 FROM org_snapshots WHERE outcome = 'ok'")
                assert worker.not_ready_reason() is None
        events = [entry["event"] for entry in logs]
        assert events.count("database.away") == events.count("database.back") <= 2
    rows = await mine.rows()
    assert {row["requests"] for row in rows if row["outcome"] == "ok"} == {10}
    for name in mine.names:
        slots = [row["slot"] for row in rows if row["name"] == name]
        assert {(later - earlier).total_seconds() for earlier, later in pairwise(slots)} == {5.0}
    assert mine.sim.audit()["breaches"] == []


async def test_a_worker_stopped_during_a_database_outage_ends_after_its_grace_period(
    service: OpenService, database_url: str
) -> None:
    async with (
        service(orgs=2, interval=5) as mine,
        Cable(database_url) as cable,
        await connect(cable.dsn) as cabled,
    ):
        loop = asyncio.get_running_loop()
        async with measured_lag(database_url) as lag, mine.worker(database=cabled) as worker:
            await mine.until("SELECT count(*) = 2 FROM org_snapshots WHERE outcome = 'ok'")
            await cable.cut()
            stopped_at = loop.time()
        # A grace of 5 seconds is the wall's, and not the 20 of a worker without a setting.
        assert loop.time() - stopped_at < 15 + lag.of_a_poll
        assert worker.lost_rows == 0


async def test_a_dropped_schema_ends_the_worker_with_one_error(service: OpenService) -> None:
    async with service(orgs=2, interval=2) as mine:
        with pytest.raises(ExceptionGroup) as caught:
            async with mine.worker():
                await mine.until("SELECT count(*) = 2 FROM org_snapshots")
                await mine.app.database.execute("ALTER TABLE pgqueuer RENAME TO gone")
                await asyncio.Event().wait()
        assert caught.group_contains(DatabaseError, match="poller migrate")
