"""PostgreSQL is stopped, replaced or full while workers run; only the operator of the database has to act."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest

from poller.store import schema
from poller.store.database import connect
from poller.store.series.partitions import ensure_partitions
from tests.breakage.lab import REAL, Lab, Process, lab
from tests.breakage.server import Server
from tests.worker.cable import Cable
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDER_WAY = "SELECT array_agg(dedupe_key) FROM pgqueuer WHERE entrypoint = 'poll' AND status = 'picked'"
ALL_KNOWN = "SELECT count(DISTINCT org_id) = $1::bigint FROM org_snapshots WHERE outcome = 'ok'"
KNOWN_SINCE = f"{ALL_KNOWN} AND polled_at > $2"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for this test, with a migrated database."""
    with homes() as home:
        mine = Server(home)
        mine.make()
        mine.start()
        try:
            asyncio.run(schema.upgrade(mine.dsn))
            yield mine
        finally:
            mine.stop(signal.SIGQUIT)


@contextmanager
def homes() -> Iterator[Path]:
    """A folder with a short path, because the path of its socket has a maximum length."""
    with tempfile.TemporaryDirectory(prefix="breakage-") as name:
        yield Path(name)


async def ask(url: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as reply:
        return reply.status, await reply.text()


async def metric(url: str, name: str) -> float:
    _, text = await ask(url, "/metrics")
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))


async def is_ready(url: str) -> bool:
    return (await ask(url, "/readyz"))[0] == 200


async def goes_on(there: Lab) -> None:
    """Asserts that every org is polled again and that no slot was lost."""
    since = await there.database.fetchval("SELECT now()")
    await there.until(KNOWN_SINCE, len(there.names), since, seconds=60)
    await there.nothing_is_missing_doubled_or_untrue()


async def stopped(worker: Process) -> None:
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert worker.count("database.away") == worker.count("database.back")
    assert not any(word in worker.text() for word in ('"readings.lost"', '"lost"'))


async def test_a_restart_of_postgresql_loses_no_snapshot(server: Server, tmp_path: Path) -> None:
    async with lab(server.dsn, tmp_path, orgs=20, interval=10, latency_median_seconds=0.4) as there:
        worker = await there.start(REAL)
        url = (await worker.says("web.served"))["url"]
        await there.until(ALL_KNOWN, 20, seconds=60)
        assert await ask(url, "/readyz") == (200, "ready\n")
        written = await there.database.fetchval("SELECT count(*) FROM org_snapshots")
        await eventually(lambda: metric(url, "poller_polls_under_way"))
        await asyncio.to_thread(server.stop)
        await worker.says("database.away")
        assert (await ask(url, "/readyz"))[0] == 503
        assert (await ask(url, "/healthz"))[0] == 200
        assert await metric(url, "poller_database_up") == 0
        tried = await metric(url, "poller_database_errors_total")

        async def tried_often() -> bool:
            return await metric(url, "poller_database_errors_total") > tried + 10

        await eventually(tried_often)
        assert worker.count("database.away") == 1
        held = await metric(url, "poller_readings_held")
        await asyncio.to_thread(server.start)
        await there.until("SELECT count(*) >= $1::bigint FROM org_snapshots", written + int(held))
        await eventually(lambda: is_ready(url))
        assert worker.count("database.away") == worker.count("database.back") == 1
        await goes_on(there)
        await stopped(worker)


async def test_workers_follow_a_failover_to_a_standby_and_lose_no_slot(server: Server, tmp_path: Path) -> None:
    with homes() as home:
        standby = Server(home)
        await asyncio.to_thread(standby.copy, server)
        await asyncio.to_thread(standby.start)
        hosts = ",".join(quote(str(one.home), safe="") for one in (server, standby))
        both = f"postgresql://boss@/postgres?host={hosts}&target_session_attrs=primary"
        try:
            async with lab(server.dsn, tmp_path, orgs=8, interval=6, worker_dsn=both) as there:
                workers = [await there.start(), await there.start()]
                await there.until(ALL_KNOWN, 8)
                # What was committed has reached the standby, as with synchronous replication.
                await there.until("SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication")
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                for worker in workers:
                    await worker.says("database.away")
                await asyncio.to_thread(standby.promote)
                async with await connect(standby.dsn) as there.database:
                    for worker in workers:
                        await worker.says("database.back")
                    await goes_on(there)
                    for worker in workers:
                        await stopped(worker)
        finally:
            await asyncio.to_thread(standby.stop, signal.SIGQUIT)


async def test_slots_whose_snapshots_died_with_a_worker_during_a_database_outage_are_polled_again(
    server: Server, tmp_path: Path
) -> None:
    async with (
        Cable(server.dsn) as cable,
        lab(server.dsn, tmp_path, orgs=8, interval=16, worker_dsn=cable.dsn, latency_median_seconds=0.3) as there,
    ):
        holding = await there.start(REAL)
        url = (await holding.says("web.served"))["url"]
        await there.until(ALL_KNOWN, 8, seconds=60)
        await eventually(lambda: metric(url, "poller_polls_under_way"))
        await cable.cut()
        await eventually(lambda: metric(url, "poller_readings_held"))
        begun = set(await there.database.fetchval(UNDER_WAY))
        holding.send(signal.SIGKILL)
        await holding.ended()
        await cable.repair()
        await there.start()
        keys = (
            "SELECT org_id || to_char(slot, ':YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM org_snapshots WHERE outcome = 'ok'"
        )
        await there.until(f"SELECT array_agg(key) @> $1::text[] FROM ({keys}) AS known (key)", list(begun))
        await there.nothing_is_missing_doubled_or_untrue()


@contextmanager
def small_disk(server: Server, megabytes: int) -> Iterator[Path]:
    """A separate file system of this size."""
    folder = server.home / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        place = folder / "space"
        place.mkdir(mode=0o700)
        if server.os_user.popen_arguments:
            shutil.chown(place, server.os_user.uid, server.os_user.gid)
        yield place
    finally:
        server.stop(signal.SIGQUIT)
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk to fill")
async def test_workers_wait_while_the_disk_is_full_and_lose_no_snapshot(server: Server, tmp_path: Path) -> None:
    with small_disk(server, 64) as disk:
        async with lab(server.dsn, tmp_path, orgs=20, interval=3) as there:
            await there.database.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            worker = await there.start(REAL)
            await there.until(ALL_KNOWN, 20)
            month = await there.database.fetchval(
                "SELECT tableoid::regclass::text FROM org_snapshots ORDER BY slot DESC LIMIT 1"
            )
            await there.database.execute(f"ALTER TABLE {month} SET TABLESPACE small")
            # The room that is left in the table's last page is taken up first, then the disk's.
            ballast = disk / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4_096)
            error = await worker.says("database.away", 90)
            assert "No space left on device" in error["why"]
            assert error["remedy"] == "free space on PostgreSQL's disk"
            ballast.unlink()
            await worker.says("database.back")
            await goes_on(there)
            await stopped(worker)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("ALTER TABLE pgqueuer RENAME TO gone", "poller: PostgreSQL: .*; run `poller migrate`"),
        (
            "REVOKE INSERT ON org_snapshots FROM limited",
            "poller: PostgreSQL: permission denied .*; use the role that owns",
        ),
    ],
)
async def test_a_database_problem_that_a_person_must_fix_ends_the_service_with_one_line(
    server: Server, tmp_path: Path, damage: str, line: str
) -> None:
    as_role = server.dsn.replace("boss@", "limited@")
    async with lab(server.dsn, tmp_path, orgs=4, interval=4, worker_dsn=as_role) as there:
        await there.database.execute("CREATE ROLE limited LOGIN")
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            await there.database.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO limited")
        now = datetime.now(UTC)
        await ensure_partitions(there.database, now, now)
        worker = await there.start(REAL)
        await there.until(ALL_KNOWN, 4)
        await there.database.execute(damage)
        assert await worker.ended() == 1
        last = worker.text().splitlines()[-1]
        assert re.match(line, last), last
        assert "Traceback (most recent call last)" not in last
        assert worker.count("database.away") == 0
