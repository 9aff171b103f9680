from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.model import Outcome, Snapshot
from poller.store.queue.jobs import NewJob, enqueue
from poller.store.queue.maintenance import record_task_end, record_task_start
from poller.store.queue.schedules import POLL, RECORD_MISSED
from poller.store.series.snapshots import write_snapshots
from tests.postgres import let_now_be
from tests.soak.clock import Clock
from tests.soak.report import report
from tests.soak.verdict import complaints, percentile, trend
from tests.soak.watch import Found, Sample, Size, look, slots_without_row
from tests.soak.world import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.store.database import Database

PLAN = Plan(orgs=100, days=30.0, day_seconds=60.0, interval_seconds=21_600)
SMALL = Size(rows=100, bytes=200_000)


def found(grow: Callable[[Sample, float], Sample] = lambda sample, _: sample) -> Found:
    """A run without problems, with samples changed by `grow`."""
    tables = {"pgqueuer": SMALL, "workers": Size(1, 32_768), "org_snapshots": SMALL}
    looks = [Sample(day / 10, 80.0 + day % 3, 45.0, 10, tables) for day in range(300)]
    return Found(
        samples=[grow(sample, sample.at) for sample in looks],
        orgs=PLAN.orgs,
        dropped=["org_snapshots_2027_01"],
        audit={"breaches": [], "requests": {}, "faults_given": {}},
    )


def with_table(sample: Sample, name: str, size: Size) -> Sample:
    return replace(sample, tables={**sample.tables, name: size})


def test_a_soak_without_problems_has_no_complaints() -> None:
    assert list(complaints(PLAN, found())) == []


def test_growth_of_half_a_megabyte_of_memory_a_day_is_a_complaint() -> None:
    grown = found(lambda sample, day: replace(sample, worker_mb=sample.worker_mb + 0.5 * day))
    (complaint,) = complaints(PLAN, grown)
    assert complaint.startswith("memory grows: +11.")


def test_growth_only_during_the_warm_up_is_not_a_complaint() -> None:
    grown = found(lambda sample, day: replace(sample, worker_mb=sample.worker_mb + min(day, 7.0)))
    assert list(complaints(PLAN, grown)) == []


def test_a_growing_table_is_a_complaint_unless_its_rows_are_kept_for_years() -> None:
    grown = found(lambda sample, day: with_table(sample, "pgqueuer", Size(100, 200_000 + int(50_000 * day))))
    (complaint,) = complaints(PLAN, grown)
    assert complaint == "pgqueuer: grows on disk, by +50 kB a day"
    kept = found(lambda sample, day: with_table(sample, "org_snapshots", Size(int(400 * day), int(400_000 * day))))
    assert list(complaints(PLAN, kept)) == []


def test_more_rows_than_expected_are_a_complaint_even_if_seen_only_once() -> None:
    once = found(lambda sample, day: with_table(sample, "workers", Size(2 if day == 20.0 else 1, 32_768)))
    assert list(complaints(PLAN, once)) == ["workers: 2 rows, 1 are expected"]


def test_missing_slots_missing_orgs_breaches_errors_and_exit_codes_are_complaints() -> None:
    wrong = found()
    wrong.without_row, wrong.orgs, wrong.code, wrong.dropped = ["org 7: 2027-02-01 06:00"], 99, 1, []
    wrong.errors.update(["readings.lost"])
    wrong.audit = {"breaches": ["org 1: 6 calls in flight, 5 allowed"], "requests": {}, "faults_given": {}}
    assert len(list(complaints(PLAN, wrong))) == 6


def test_the_queue_log_may_grow_until_it_is_cleared_and_a_late_clearing_is_a_complaint() -> None:
    def uncleared(hours: float, rows: int) -> list[str]:
        log = {"pgqueuer_log": Size(rows, 200_000)}
        grown = found(lambda sample, _: replace(sample, uncleared_hours=hours, tables={**sample.tables, **log}))
        return list(complaints(PLAN, grown))

    # 100 orgs, a poll every six hours, 30 maintenance tasks an hour: at most 187 rows an hour, and 800 of what waited.
    assert uncleared(0.5, 1_173) == []
    assert uncleared(0.5, 1_174) == ["pgqueuer_log: 1,174 rows, 1,173 are expected"]
    assert uncleared(7.5, 2_479) == []
    assert uncleared(8.5, 400) == ["pgqueuer_log: not cleared for 21 s of the wall's, 20 are allowed"]


def test_rows_of_the_queue_log_that_survive_a_clearing_are_a_complaint() -> None:
    (complaint,) = complaints(PLAN, found(lambda sample, day: replace(sample, overdue_log_rows=int(day))))
    assert complaint == "pgqueuer_log: 29 rows outlived a clearing, though they were older than an hour"


async def test_a_row_of_the_queue_log_is_overdue_after_a_clearing_that_began_an_hour_later(
    database: Database,
) -> None:
    await database.execute(
        "INSERT INTO pgqueuer_log (created, job_id, status, entrypoint, priority)"
        " SELECT now() - make_interval(mins => age), 1, 'queued', 'poll', 1 FROM unnest($1::int[]) AS age",
        [30, 62, 90],
    )
    begun = await record_task_start(database, "queue log")
    assert (await look(0.0, os.getpid(), os.getpid(), database)).overdue_log_rows == 0
    await record_task_end(database, "queue log", begun + timedelta(seconds=1), detail="0 rows forgotten")
    seen = await look(0.0, os.getpid(), os.getpid(), database)
    assert seen.overdue_log_rows == 2
    assert seen.uncleared_hours < 1


async def test_a_slot_without_a_row_is_reported_unless_it_is_still_in_a_queue(database: Database) -> None:
    org = await database.fetchval("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us') RETURNING id")
    first, *missing, last = (datetime(2026, 1, 31, 6 * number, tzinfo=UTC) for number in range(4))
    await write_snapshots(
        database, [Snapshot(org, slot, None, Outcome.MISSED, "not_running") for slot in (first, last)]
    )
    told = [f"org {org}: {slot:%F %H:%M}" for slot in missing]
    assert await slots_without_row(database, 21_600) == told
    stretch = {"org": org, "first": int(missing[0].timestamp()), "last": int(missing[0].timestamp())}
    await enqueue(database, [NewJob(RECORD_MISSED, "1", json.dumps(stretch).encode(), timedelta())])
    assert await slots_without_row(database, 21_600) == told[1:]
    await enqueue(database, [NewJob(POLL, f"{org}:{missing[1]:%Y-%m-%dT%H:%M:%SZ}", b"", timedelta())])
    assert await slots_without_row(database, 21_600) == []


def test_the_report_contains_every_table_and_lateness_in_seconds_of_real_time() -> None:
    told = found()
    told.outcomes.update({("ok", 0): 900, ("ok", 144): 90, ("ok", 1_440): 10, ("missed", 0): 5})
    lines = "\n".join(report(PLAN, told))
    assert "1,005: 1,000 ok, 5 missed" in lines
    assert "p50 0.00, p99 0.10, most 1.00" in lines
    assert all(name in lines for name in told.samples[0].tables)


def test_a_trend_starts_at_the_first_point_of_its_regression_line() -> None:
    assert trend([1.0, 2.0, 3.0], [12.0, 14.0, 16.0]) == pytest.approx((12.0, 2.0, 4.0))


def test_a_percentile_is_the_smallest_value_that_the_given_share_does_not_exceed() -> None:
    assert percentile({0: 98, 5: 1, 9: 1}, 0.99) == 5
    assert percentile({0: 98, 5: 1, 9: 1}, 0.5) == 0
    assert percentile({}, 0.99) == 0


async def test_postgresql_uses_the_clock_of_the_soak(blank_database_url: str) -> None:
    clock = Clock.begin(datetime(2027, 2, 1, tzinfo=UTC), speed=1_440.0)
    assert Clock.read(str(clock)) == clock
    await let_now_be(blank_database_url, clock.sql)
    connection = await asyncpg.connect(blank_database_url)
    try:
        before = clock.now()
        asked = await connection.fetchval("SELECT now()")
        assert before <= asked <= clock.now()
        await connection.execute("CREATE TABLE rows (made timestamptz DEFAULT now())")
        assert await connection.fetchval("INSERT INTO rows VALUES (DEFAULT) RETURNING made") >= asked
    finally:
        await connection.close()
