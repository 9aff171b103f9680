"""Workers join, stop, are killed and are frozen: real processes over one database."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from poller.simulator import Fault
from tests.breakage.lab import LONG, QUICK, REAL, Lab, lab
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

STOP = [signal.SIGTERM, signal.SIGINT]
HANG = Fault(name="hang")
UNDER_WAY = "SELECT array_agg(dedupe_key) FROM pgqueuer WHERE entrypoint = 'poll' AND status = 'picked'"


async def polls_of_each(there: Lab) -> dict[Any, int]:
    rows = await there.database.fetch("SELECT id, facts FROM workers WHERE seen_at > now() - interval '15 s'")
    return {row["id"]: row["facts"]["polls"] for row in rows}


async def shares(there: Lab, workers: int, polls: int) -> list[float]:
    """The share in percent of each running worker in the next `polls` polls."""
    before = await eventually(lambda: _all_there(there, workers), 60)
    start = sum(before.values())

    async def enough() -> dict[Any, int] | None:
        now = await polls_of_each(there)
        return now if sum(now.values()) - start >= polls else None

    after = await eventually(enough, 120)
    made = [after[one] - before[one] for one in before]
    return [round(100 * one / sum(made), 1) for one in made]


async def _all_there(there: Lab, workers: int) -> dict[Any, int] | None:
    found = await polls_of_each(there)
    return found if len(found) == workers else None


@pytest.mark.parametrize("workers", [3, *([10] if LONG else [])])
async def test_workers_over_one_database_share_the_orgs_evenly_within_a_few_percent(
    database_url: str, tmp_path: Path, workers: int
) -> None:
    async with lab(database_url, tmp_path, orgs=40, interval=4) as there:
        for _ in range(workers):
            await there.start()
        found = await shares(there, workers, 100 * workers if LONG else 200)
        print(f"\nshares of {workers} workers: {found} %")  # noqa: T201
        assert all(abs(share - 100 / workers) < 4 for share in found)
        await there.nothing_is_missing_doubled_or_untrue()


async def test_a_worker_that_joins_gets_its_share_and_one_that_leaves_causes_no_gap(
    database_url: str, tmp_path: Path
) -> None:
    async with lab(database_url, tmp_path, orgs=20, interval=4) as there:
        first = await there.start()
        await there.until("SELECT count(*) >= 20 FROM org_snapshots")
        await there.start()
        found = await shares(there, 2, 40)
        assert all(share > 35 for share in found)
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
        left_at = await there.database.fetchval("SELECT now()")
        await there.until("SELECT count(*) >= 40 FROM org_snapshots WHERE polled_at > $1", left_at)
        rows = await there.nothing_is_missing_doubled_or_untrue()
        assert {row["outcome"] for row in rows} == {"ok"}


@pytest.mark.parametrize("number", STOP)
async def test_a_stopping_worker_returns_jobs_that_its_grace_period_is_too_short_for_and_another_worker_polls_them(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    async with lab(database_url, tmp_path, orgs=12, interval=24) as there:
        there.sim.add_faults(HANG)
        worker = await there.start(POLLER_REQUEST_TIMEOUT="120")
        await there.until(UNDER_WAY)
        worker.send(number)
        await worker.says("worker.draining")
        begun = set(await there.database.fetchval(UNDER_WAY))
        assert await worker.ended(15) == 0
        assert worker.count("worker.stopped") == 1
        assert await there.database.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'picked'") == 0
        assert await there.database.fetchval("SELECT count(*) FROM workers") == 0
        there.sim.clear_faults()
        await there.start()
        await eventually(lambda: _polled(there, begun))
        await there.nothing_is_missing_doubled_or_untrue()


@pytest.mark.parametrize("number", STOP)
async def test_a_worker_that_gets_a_second_stop_signal_stops_at_once(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    async with lab(database_url, tmp_path, orgs=12, interval=24) as there:
        there.sim.add_faults(HANG)
        worker = await there.start(REAL, POLLER_REQUEST_TIMEOUT="120")
        await there.until(UNDER_WAY)
        worker.send(number)
        await worker.says("worker.draining")
        worker.send(number)
        # The grace alone would be 20 seconds.
        assert await worker.ended(4) == 1
        assert "Traceback" not in worker.text()


@pytest.mark.parametrize("program", [QUICK, *([REAL] if LONG else [])], ids=lambda program: program[-1])
async def test_slots_that_a_killed_worker_was_polling_are_polled_by_another_within_a_minute(
    database_url: str, tmp_path: Path, program: tuple[str, ...]
) -> None:
    interval = 24 if program == QUICK else 120
    async with lab(database_url, tmp_path, orgs=12, interval=interval) as there:
        there.sim.add_faults(HANG)
        killed = await there.start(program, POLLER_REQUEST_TIMEOUT="120")
        # With its token: killed while it asks for one, it would leave a lease of twice its time-out.
        await eventually(lambda: there.sim.audit()["requests"].get("count"), 120)
        begun = set(await there.database.fetchval(UNDER_WAY))
        killed.send(signal.SIGKILL)
        await killed.ended()
        there.sim.clear_faults()
        killed_at = await there.database.fetchval("SELECT now()")
        await there.start(program)
        rows = await eventually(lambda: _polled(there, begun), 90)
        assert max((row["polled_at"] - killed_at).total_seconds() for row in rows) < 60
        await there.nothing_is_missing_doubled_or_untrue()


async def test_a_worker_that_resumes_after_a_freeze_damages_no_data(database_url: str, tmp_path: Path) -> None:
    async with lab(database_url, tmp_path, orgs=8, interval=6, latency_median_seconds=0.5) as there:
        frozen, _ = await there.start(), await there.start()
        await there.until("SELECT count(*) >= 8 FROM org_snapshots WHERE outcome = 'ok'")
        await there.until("SELECT count(*) FROM pgqueuer WHERE entrypoint = 'poll' AND status = 'picked'")
        frozen.send(signal.SIGSTOP)
        frozen_at = await there.database.fetchval("SELECT now()")
        # Longer than its silence: what it had in hand is another's by now.
        await there.until(
            "SELECT count(DISTINCT org_id) = 8 FROM org_snapshots WHERE polled_at > $1::timestamptz + interval '5 s'",
            frozen_at,
        )
        frozen.send(signal.SIGCONT)
        await frozen.says("worker.frozen")
        woken_at = await there.database.fetchval("SELECT now()")
        await there.until("SELECT count(*) >= 16 FROM org_snapshots WHERE polled_at > $1", woken_at)
        for worker in there.workers:
            worker.send(signal.SIGTERM)
        assert [await worker.ended() for worker in there.workers] == [0, 0]
        rows = await there.nothing_is_missing_doubled_or_untrue()
        assert {row["outcome"] for row in rows} == {"ok"}
        assert await there.database.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'picked'") == 0


async def _polled(there: Lab, slots: set[str]) -> list[Any]:
    """The rows of these slots, once all are known."""
    rows = await there.rows()
    found = [row for row in rows if f"{row['org_id']}:{row['slot']:%Y-%m-%dT%H:%M:%SZ}" in slots]
    return found if len(found) == len(slots) and {row["outcome"] for row in found} == {"ok"} else []
