"""Workers with a wrong clock beside workers with a right clock: the time of PostgreSQL is used."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.schedule import Due
from poller.core.slots import slot_of
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests.breakage.faketime import clock_off_by, clock_set_by, needs_faketime
from tests.breakage.lab import REAL, Lab, Process, lab
from tests.command import run
from tests.worker.lag import measured_lag
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.worker.lag import Lag

pytestmark = needs_faketime

ORGS, INTERVAL = 6, 4
IN_THE_FUTURE = """
SELECT (SELECT count(*) FROM org_snapshots WHERE greatest(slot, polled_at) > now() + interval '1 s')
     + (SELECT count(*) FROM org_schedules WHERE due_at > now() + interval '2 minutes')
     + (SELECT count(*) FROM pgqueuer WHERE entrypoint = 'poll' AND execute_after > now() + interval '2 minutes')
"""


async def readiness(worker: Process) -> tuple[int, str]:
    """The reply of `/readyz` of a `poller run`."""
    url = (await worker.says("web.served"))["url"]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
        return response.status, (await response.text()).strip()


async def several_slots_pass(there: Lab, slots: int = 4) -> None:
    newest = await there.database.fetchval("SELECT now()")
    await there.until(
        "SELECT count(*) >= $1 FROM org_snapshots WHERE outcome = 'ok' AND slot > $2", ORGS * slots, newest, seconds=60
    )


async def every_slot_was_polled_in_time(there: Lab, lag: Lag) -> None:
    """Within a few seconds of when it was due, and what the machine itself takes while other tests run."""
    rows = await there.nothing_is_missing_doubled_or_untrue()
    assert {row["outcome"] for row in rows} == {"ok"}
    late = max(row["polled_at"] - Due(row["org_id"], row["slot"], INTERVAL).at for row in rows)
    assert late < timedelta(seconds=4 + lag.of_a_poll)
    assert all(row["polled_at"] >= row["slot"] for row in rows)
    assert await there.database.fetchval(IN_THE_FUTURE) == 0


async def test_workers_with_a_wrong_clock_poll_nothing_log_it_once_and_damage_no_data(
    database_url: str, tmp_path: Path
) -> None:
    off = {"+7200s": "7,200 s ahead of", "-7200s": "7,200 s behind", "+2y": "63,072,000 s ahead of"}
    async with lab(database_url, tmp_path, orgs=ORGS, interval=INTERVAL) as there, measured_lag(database_url) as lag:
        await there.start()
        wrong = {what: await there.start(REAL, **clock_off_by(offset)) for offset, what in off.items()}
        await there.start()
        for what, worker in wrong.items():
            said = await worker.says("worker.clock_wrong")
            assert said["why"].startswith(f"this machine's clock is {what} PostgreSQL's")
            assert "NTP" in said["remedy"]
        await several_slots_pass(there)
        for what, worker in wrong.items():
            assert await readiness(worker) == (503, f"this machine's clock is {what} PostgreSQL's")
            assert worker.count("worker.clock_wrong") == 1
            assert [one["event"] for one in worker.events() if one["event"].startswith(("poll.", "maintenance."))] == []
        await every_slot_was_polled_in_time(there, lag)


async def test_a_clock_jump_is_noticed_within_seconds_and_the_worker_resumes_when_the_clock_is_right_again(
    database_url: str, tmp_path: Path
) -> None:
    clock = tmp_path / "offset"
    clock.write_text("+0s", encoding="ascii")
    async with lab(database_url, tmp_path, orgs=ORGS, interval=INTERVAL) as there, measured_lag(database_url) as lag:
        jumping = await there.start(REAL, **clock_set_by(clock))
        assert await eventually(lambda: readiness(jumping)) == (200, "ready")
        await several_slots_pass(there, 1)
        healthy = await there.start()
        clock.write_text("+7200s", encoding="ascii")
        await jumping.says("worker.clock_wrong", 15.0)
        assert (await readiness(jumping))[0] == 503
        await several_slots_pass(there)
        clock.write_text("+0s", encoding="ascii")
        await jumping.says("worker.clock_right", 15.0)
        assert await readiness(jumping) == (200, "ready")
        polls = jumping.count("poll.finished")
        await eventually(lambda: jumping.count("poll.finished") > polls)
        assert healthy.count("worker.clock_wrong") == 0
        await every_slot_was_polled_in_time(there, lag)


async def test_a_worker_whose_monotonic_clock_jumps_too_writes_nothing_in_the_future(
    database_url: str, tmp_path: Path
) -> None:
    clock = tmp_path / "offset"
    clock.write_text("+0s", encoding="ascii")
    async with lab(database_url, tmp_path, orgs=ORGS, interval=INTERVAL) as there:
        await there.start()
        jumping = await there.start(REAL, **clock_set_by(clock, monotonic=True))
        await several_slots_pass(there, 1)
        clock.write_text("+7200s", encoding="ascii")
        await jumping.says("worker.clock_wrong", 15.0)
        await several_slots_pass(there)
        rows = await there.rows()
        assert {row["outcome"] for row in rows} == {"ok"}
        assert all(row["polled_at"] >= row["slot"] for row in rows)
        assert await there.database.fetchval(IN_THE_FUTURE) == 0


async def test_the_only_worker_with_a_clock_two_years_ahead_drops_no_history_and_writes_no_row(
    database_url: str, tmp_path: Path
) -> None:
    async with lab(database_url, tmp_path, orgs=ORGS, interval=INTERVAL) as there:
        before = await history_of_a_year(there)
        wrong = await there.start(REAL, **clock_off_by("+2y"), POLLER_SNAPSHOT_RETENTION="13mo")
        await wrong.says("worker.clock_wrong")
        right = await there.start(REAL, POLLER_SNAPSHOT_RETENTION="13mo")
        await several_slots_pass(there, 2)
        await there.until("SELECT done_at IS NOT NULL FROM chores WHERE name = 'retention'")
        assert [one["event"] for one in wrong.events() if one["event"].startswith(("poll.", "maintenance."))] == []
        assert right.count("worker.clock_wrong") == 0
        old = "SELECT count(*) FROM org_snapshots WHERE slot < now() - interval '1 d'"
        assert await there.database.fetchval(old) == before


async def history_of_a_year(there: Lab) -> int:
    """Writes a row for each of the last twelve months, and rolls them up; returns the number of rows."""
    now = await there.database.fetchval("SELECT now()")
    (org_id,) = await there.database.fetch("SELECT min(id) FROM orgs")
    slots = [slot_of(now - timedelta(days=30 * month), 3_600) for month in range(1, 13)]
    counts = dict.fromkeys(USER_TYPES, 5)
    await there.database.execute("UPDATE rollup_state SET rolled_until = $1", slots[-1].date())
    await write_snapshots(there.database, [Snapshot(org_id[0], at, at, Outcome.OK, counts=counts) for at in slots])
    await roll_up(there.database, now.date())
    return len(slots)


@pytest.mark.parametrize("offset", ["-2y", "+2y"], ids=["two years behind", "two years ahead"])
async def test_commands_with_relative_times_count_from_the_clock_of_postgresql(
    database_url: str, tmp_path: Path, offset: str
) -> None:
    async with lab(database_url, tmp_path, orgs=1, interval=900) as there:
        slot = await a_count_a_gap_and_a_contract(there)
        today = f"{await there.database.fetchval('SELECT now()'):%Y-%m-%d}"

        async def answer(*arguments: str) -> str:
            ended = await run(*arguments, environ={**there.environ, **clock_off_by(offset)}, cwd=tmp_path)
            assert (ended.code, ended.err) == (0, "")
            return ended.out

        points = json.loads(await answer("trend", "--since", "7d", "--format", "json"))
        known = [point for point in points if point["last"] is not None]
        assert {(point["last"], point["at"][:10]) for point in known} == {(7, f"{slot:%Y-%m-%d}")}
        assert {point["user_type"] for point in known} == set(USER_TYPES)
        assert max(point["at"][:10] for point in points) == today
        gaps = json.loads(await answer("gaps", "--format", "json"))
        assert [gap["reason"] for gap in gaps] == ["unavailable: http_503"]
        await answer("export", "--format", "csv", "--out", "counts", "--since", "2d")
        assert any(f"{slot:%Y-%m-%d}" in file.name for file in (tmp_path / "counts").rglob("*.csv*"))
        forecast = json.loads(await answer("forecast", "--horizon", "3", "--json"))
        assert forecast["made_at"][:10] == today
        assert there.names[0] in await answer("seats", "--renews-within", "30d", "--json")
        assert await answer("seats", "--renews-within", "10d", "--json") == ""


async def a_count_a_gap_and_a_contract(there: Lab) -> datetime:
    """Writes a known slot of an hour ago, a failed one before, and a contract; returns the known slot."""
    slot = slot_of(await there.database.fetchval("SELECT now() - interval '1 h'"), 900)
    lost = slot - timedelta(seconds=900)
    org_id = await there.database.fetchval("SELECT id FROM orgs")
    rows = [
        Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 7)),
        Snapshot(org_id, lost, lost, Outcome.UNAVAILABLE, "http_503"),
    ]
    await write_snapshots(there.database, rows)
    await there.database.execute(
        "INSERT INTO seat_contracts (org_id, renews_on, updated_at) VALUES ($1, now()::date + 20, now())", org_id
    )
    return slot


@pytest.mark.parametrize("offset", ["+7200s", "-7200s"], ids=["ahead", "behind"])
async def test_poller_poll_under_a_wrong_clock_uses_the_clock_of_postgresql(
    database_url: str, tmp_path: Path, offset: str
) -> None:
    async with lab(database_url, tmp_path, orgs=ORGS, interval=900) as there:
        before = await there.database.fetchval("SELECT now()")
        ended = await run("poll", environ={**there.environ, **clock_off_by(offset)}, cwd=tmp_path)
        after = await there.database.fetchval("SELECT now()")
        assert ended.code == 0, ended.err
        rows = await there.rows()
        assert len(rows) == ORGS
        assert all(before <= row["polled_at"] <= after for row in rows)
        assert all(row["slot"] == slot_of(row["polled_at"], 900) for row in rows)
