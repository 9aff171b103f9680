"""The figures of the Health page are those of the rows: outcomes, lateness, slots without a row, the service."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from poller.core.callers import Caller
from poller.core.checks import CheckStatus
from poller.core.fleet import WorkerRecord
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.health import percentiles, read_health
from poller.query.health_fields import health_fields
from poller.query.health_verdict import share_text, verdict
from poller.query.reader import Reader
from poller.store.queue.maintenance import record_task_end, record_task_start
from poller.store.queue.workers import heartbeat_worker
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.query.health import HealthReport
    from poller.store.database import Database

EVERYTHING: Final = Caller("all")
NORTH: Final = Caller("north", tags=("north",))
HOUR: Final = timedelta(hours=1)
QUARTER: Final = timedelta(minutes=15)
REASONS: Final = ("TOO_MANY_REQUESTS", "connect_timeout", "http_503", "not_running")


class OneWall(Reader):
    """Reads without PostgreSQL's row security, so that only the conditions of the queries keep orgs apart."""

    def seen_by(self, caller: Caller) -> Database:
        return self.database


async def added(database: Database, *names: str, tag: str = "north", data_center: str = "eu") -> list[int]:
    rows = await database.fetch(
        "INSERT INTO orgs (name, data_center, tags, edition, licences, created_at)"
        " SELECT name, $2, ARRAY[$3], 'enterprise', 100, now() - interval '2 days' FROM unnest($1::text[]) AS name"
        " RETURNING id",
        list(names),
        data_center,
        tag,
    )
    return [row["id"] for row in rows]


def row(
    org_id: int, slot: datetime, outcome: Outcome = Outcome.OK, error: str | None = None, late: int = 0
) -> Snapshot:
    known = USER_TYPES if outcome is Outcome.OK else USER_TYPES[:4] if outcome is Outcome.PARTIAL else ()
    return Snapshot(
        org_id,
        slot,
        None if outcome is Outcome.MISSED else slot + timedelta(seconds=1),
        outcome,
        error,
        errors={} if outcome is Outcome.OK else dict.fromkeys(USER_TYPES[len(known) :], error or "http_503"),
        late_seconds=late,
        requests=0 if outcome is Outcome.MISSED else 10,
        counts=dict.fromkeys(known, 5),
    )


def slots(now: datetime, hours: int = 23, every: timedelta = QUARTER) -> list[datetime]:
    """The slots since the start of the first hour, up to now."""
    first = now.replace(minute=0, second=0, microsecond=0) - hours * HOUR
    return [first + n * every for n in range(int((now - first) / every))]


async def report_of(database: Database, caller: Caller = EVERYTHING, now: datetime | None = None) -> HealthReport:
    return await read_health(OneWall(database, None if now is None else lambda: now), caller)


def lines_of(report: HealthReport) -> dict[str, tuple[str, str]]:
    return {line.check: (line.status.value, line.what) for line in verdict(report)}


@pytest.mark.parametrize("seed", range(4))
async def test_slots_by_hour_outcome_reason_and_lateness_are_those_of_the_rows(database: Database, seed: int) -> None:
    chance, now = random.Random(seed), database.clock.now()
    ids = [*await added(database, "a", "b", "c"), *await added(database, "d", "e", tag="south", data_center="in")]
    written = [
        row(
            org_id,
            slot,
            outcome,
            None if outcome is Outcome.OK else chance.choice(REASONS),
            chance.choice((0, 0, 1, 700)),
        )
        for org_id in ids
        for slot in slots(now, 26)
        if (outcome := chance.choices(list(Outcome), weights=[9] + [1] * (len(Outcome) - 1))[0])
    ]
    await write_snapshots(database, written)
    report = await report_of(database, now=now)

    inside = [one for one in written if one.slot >= report.since]
    assert report.since == now.replace(minute=0, second=0, microsecond=0) - 23 * HOUR
    assert sum((Counter(hour.outcomes) for hour in report.hours), Counter()) == Counter(
        one.outcome.value for one in inside
    )
    for hour in report.hours:
        of_hour = [one for one in inside if hour.at <= one.slot < hour.at + HOUR]
        assert (hour.slots, hour.known) == (len(of_hour), sum(one.outcome is Outcome.OK for one in of_hour))
    gaps = await database.fetchval("SELECT count(*) FROM poll_gaps WHERE slot >= $1", report.since)
    assert report.recorded - report.known == gaps == sum(one.slots for one in report.unknown())
    assert report.missed() == Counter(str(one.error) for one in inside if one.outcome is Outcome.MISSED)
    late = sorted(one.late_seconds for one in inside if one.requests)
    found = report.lateness()
    assert (found.polls, found.longest) == (len(late), late[-1])
    assert (found.p50, found.p99) == (late[-(-len(late) // 2) - 1], late[-(-99 * len(late) // 100) - 1])


@pytest.mark.parametrize("walls", [OneWall, Reader])
@pytest.mark.parametrize("seed", range(2))
async def test_a_caller_with_tags_gets_the_figures_of_those_orgs_only(
    database: Database, seed: int, walls: type[Reader]
) -> None:
    chance, now = random.Random(seed), database.clock.now()
    north = await added(database, "a", "b")
    south = await added(database, "c", "d", "e", tag="south", data_center="in")
    written = [
        row(org_id, slot, outcome, None if outcome is Outcome.OK else f"code_{org_id in south}")
        for org_id in (*north, *south)
        for slot in slots(now)
        if (outcome := chance.choice((Outcome.OK, Outcome.UNAVAILABLE, Outcome.MISSED)))
    ]
    await write_snapshots(database, written)
    await working(database)
    report = await read_health(walls(database, lambda: now), NORTH)

    own = [one for one in written if one.org_id in north]
    assert report.recorded == len(own)
    assert report.known == sum(one.outcome is Outcome.OK for one in own)
    assert {one.data_center for one in report.data_centers} == {"eu"}
    assert {one.reason for one in report.unknown()} <= {"code_False"}
    assert health_fields(report)["service"] is None
    assert "code_True" not in str(health_fields(report))


async def test_a_partial_poll_whose_missing_counts_came_later_is_known(database: Database) -> None:
    now = database.clock.now()
    (org_id,) = await added(database, "a")
    slot = slots(now)[-1]
    await write_snapshots(database, [row(org_id, slot, Outcome.PARTIAL, "NO_PERMISSION")])
    assert (await report_of(database)).known == 0
    columns = ", ".join(f"{user_type.column} = 5" for user_type in USER_TYPES)
    await database.execute(f"UPDATE org_snapshots SET {columns}")
    assert (await report_of(database)).known == 1


async def test_removed_orgs_do_not_count(database: Database) -> None:
    (org_id,) = await added(database, "a")
    await write_snapshots(database, [row(org_id, slots(database.clock.now())[0], Outcome.UNAVAILABLE, "http_503")])
    await database.execute("UPDATE orgs SET removed_at = now()")
    report = await report_of(database)
    assert (report.due, report.data_centers) == (0, [])


async def test_without_a_slot_the_verdict_is_that_nothing_is_known_and_not_that_all_is_well(database: Database) -> None:
    report = await report_of(database)
    assert lines_of(report)["slots"] == ("not checked", "no slot was due in 24 hours")
    late = health_fields(report)["late_seconds"]
    assert (late["polls"], late["p50"], late["p99"], late["max"]) == (0, None, None, None)


async def test_slots_that_nobody_polled_for_hours_are_due_and_unknown(database: Database) -> None:
    now = database.clock.now()
    ids = await added(database, "a", "b")
    times = slots(now)
    await write_snapshots(database, [row(org_id, slot) for org_id in ids for slot in times[:-20]])
    report = await report_of(database, now=now)
    # The newest slots may still be waiting for the phase of their orgs.
    assert 2 * 17 <= report.unrecorded.slots <= 2 * 20
    assert (report.unrecorded.orgs, report.known) == (2, 2 * (len(times) - 20))
    status, what = lines_of(report)["schedule"]
    assert (status, what) == ("wrong", f"{report.unrecorded.slots} slots of 2 orgs are due and not recorded yet")
    assert verdict(report)[0].status is CheckStatus.WRONG


async def test_an_org_that_was_polled_in_time_has_no_slot_without_a_row(database: Database) -> None:
    now = database.clock.now()
    (org_id,) = await added(database, "a")
    await write_snapshots(database, [row(org_id, slots(now)[-1])])
    assert (await report_of(database, now=now)).unrecorded == (0, 0)


async def test_paused_orgs_have_no_slots_that_are_due(database: Database) -> None:
    await added(database, "a")
    assert (await report_of(database)).unrecorded.orgs == 1
    await database.execute("UPDATE orgs SET paused_at = now()")
    assert (await report_of(database)).unrecorded == (0, 0)


async def test_an_org_near_its_share_of_credits_and_one_that_is_stretched_are_named(database: Database) -> None:
    now = database.clock.now()
    ids = await added(database, "near", "far", "big")
    await database.execute("UPDATE orgs SET edition = 'free' WHERE name <> 'big'")
    quarter = now - timedelta(hours=2)
    await database.execute(
        "INSERT INTO credit_spend (org_id, bucket, credits)"
        " SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::int[])",
        ids,
        [quarter] * 3,
        [450, 100, 450],
    )
    sums = health_fields(await report_of(database, now=now))["credits"]
    assert (sums["near_share"], sums["stretched"]) == (1, 2)
    assert sums["nearest"] == [{"org_id": ids[0], "org": "near", "spent": 450, "share": 500}]
    assert [(one["org"], one["effective_interval_seconds"]) for one in sums["longest"]] == [
        ("far", 1800),
        ("near", 1800),
    ]


async def working(database: Database, *, name: str = "one", **facts: Any) -> None:
    now = database.clock.now()
    known = {"under_way": 3, "polls": 200, "away": {}, "clock_wrong_seconds": 0.0}
    await heartbeat_worker(database, WorkerRecord(uuid4(), name, "0.2.0", now - HOUR, now, known | facts))


async def test_a_data_centre_that_a_worker_cannot_reach_is_named_since_when_and_how_many_orgs_wait(
    database: Database,
) -> None:
    now = database.clock.now()
    india = await added(database, "a", "b", data_center="in")
    await added(database, "c")
    await write_snapshots(database, [row(india[0], slots(now)[-1], Outcome.UNAVAILABLE, "connect_timeout")])
    for name, minutes in (("one", 30), ("two", 50)):
        since = now - timedelta(minutes=minutes)
        await working(database, name=name, away={"in": {"since": since.isoformat(), "error": "connect_timeout"}})
    report = await report_of(database, now=now)
    of_india = next(one for one in health_fields(report)["data_centers"] if one["data_center"] == "in")
    assert of_india == {
        "data_center": "in",
        "orgs": 2,
        "waiting": 1,
        "unreachable_since": now - timedelta(minutes=50),
        "error": "connect_timeout",
    }
    status, what = lines_of(report)["data centres"]
    assert (status, what) == ("wrong", "data centre in cannot be reached for 50 m: connect_timeout; 2 orgs wait")


async def test_a_task_that_failed_says_when_it_was_done_last_and_why_it_failed(database: Database) -> None:
    now = database.clock.now()
    await record_task_start(database, "rollups")
    await record_task_end(database, "rollups", now - timedelta(days=2), detail="7 days of orgs")
    await record_task_end(database, "rollups", now - HOUR, error="the disk is full")
    report = await report_of(database, now=now)
    assert lines_of(report)["maintenance"] == ("wrong", "task rollups last done 2 d ago: the disk is full")
    assert report.service is not None
    ((task, check),) = report.service.tasks
    assert (task.detail, task.error, check.status) == ("7 days of orgs", "the disk is full", CheckStatus.WRONG)


async def test_without_a_worker_and_with_a_wrong_clock_the_verdict_says_so(database: Database) -> None:
    assert lines_of(await report_of(database))["workers"][0] == "wrong"
    await working(database, clock_wrong_seconds=-40.0)
    lines = lines_of(await report_of(database))
    assert "workers" not in lines
    assert lines["clocks"] == ("wrong", "the clock of one is 40 s behind PostgreSQL's: it takes no part")


async def test_the_database_has_a_size_a_growth_and_months(database: Database) -> None:
    now = database.clock.now()
    (org_id,) = await added(database, "a")
    times = slots(now)
    await write_snapshots(database, [row(org_id, slot) for slot in times])
    size = health_fields(await report_of(database, now=now))["service"]["database"]
    assert size["bytes"] == pytest.approx(
        await database.fetchval("SELECT pg_database_size(current_database())"), rel=0.1
    )
    assert 96 * 30 * 100 < size["bytes_a_month"] < 96 * 31 * 200 + 10 * 31 * 200
    assert f"{times[-1]:%Y-%m}-01" in {str(month["month"]) for month in size["months"]}


async def test_readers_share_an_answer_until_it_is_old(database: Database) -> None:
    now = database.clock.now()
    (org_id,) = await added(database, "a")
    times = slots(now)
    await write_snapshots(database, [row(org_id, times[0])])
    reader = OneWall(database, lambda: now)
    assert (await read_health(reader, EVERYTHING)).recorded == 1
    await write_snapshots(database, [row(org_id, times[1])])
    assert (await read_health(reader, EVERYTHING)).recorded == 1
    assert (await read_health(reader, NORTH)).recorded == 2
    assert (await report_of(database, now=now)).recorded == 2
    await added(database, "b", tag="south", data_center="in")
    seen = [await read_health(reader, EVERYTHING), await read_health(reader, NORTH), await report_of(database, now=now)]
    assert [{one.data_center for one in report.data_centers} for report in seen] == [{"eu"}, {"eu"}, {"eu", "in"}]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 1, "100 %"), (999, 1_000, "99.9 %"), (99_999, 100_000, "99.999 %"), (0, 3, "0.0 %"), (1, 3, "33.3 %"),
     (10**9 - 1, 10**9, "99.999 %")],
)  # fmt: skip
def test_a_share_never_says_all_where_one_is_missing(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ({}, (0, None, None, None)),
        ({0: 99, 5: 1}, (100, 0, 0, 5)),
        ({0: 98, 5: 2}, (100, 0, 5, 5)),
        ({7: 1}, (1, 7, 7, 7)),
    ],
)
def test_percentiles_of_lateness(late: dict[int, int], expected: Sequence[int | None]) -> None:
    found = percentiles(late)
    assert (found.polls, found.p50, found.p99, found.longest) == tuple(expected)
