"""Random failures of three real workers, a real PostgreSQL and a simulated Zoho.

Short by default; POLLER_TEST_CHAOS_SECONDS makes it longer, POLLER_TEST_CHAOS_SEED replays one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import signal
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from poller.core.datacenters import with_operators
from poller.core.errors import DatabaseError
from poller.core.model import COLUMNS
from poller.embedded import start
from poller.simulator import Fault, Simulator, SimulatorOptions
from poller.store import schema
from poller.store.database import Database, connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests.chaos.crew import Crew
from tests.chaos.storm import WORKERS, Event, storm
from tests.postgres import KILLED, chosen_binaries
from tests.simulated_fleet import import_fleet
from tests.witness import WITNESS
from tests.worker.cable import Cable
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from poller.embedded import EmbeddedServer

SECONDS = float(os.environ.get("POLLER_TEST_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("POLLER_TEST_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
ORGS = 30
INTERVAL = 4
OTHER_INTERVALS = (2, 3, 5, 6)
CALM_SECONDS = 60.0
"""At the most: after a storm every slot that was due in it has its row by then."""
KEY = bytes(range(KEY_BYTES))

FAULTS = (
    Fault(name="too_many_requests", share=0.2, probability=0.01, retry_after=2),
    Fault(name="internal_error", share=0.2, probability=0.05),
    Fault(name="truncated", share=0.2, probability=0.05),
    Fault(name="reset", share=0.2, probability=0.02),
    Fault(name="invalid_token", share=0.1, probability=0.002),
)

# Slots without a row, with their jobs in the queue.
_MISSING = """
SELECT first.org_id, due.slot, (
    SELECT concat_ws(' ', q.status, 'for', q.updated - q.created, 'attempts', q.attempts,
                     'due in', q.execute_after - now(), 'silent for', now() - q.heartbeat)
    FROM pgqueuer q
    WHERE q.dedupe_key = first.org_id || to_char(due.slot AT TIME ZONE 'UTC', ':YYYY-MM-DD"T"HH24:MI:SS"Z"')
) AS job
FROM (SELECT org_id, min(slot) AS slot FROM org_snapshots WHERE org_id = ANY($1::int[]) GROUP BY org_id) AS first
CROSS JOIN generate_series(first.slot, $2::timestamptz - $3::interval, $3) AS due (slot)
WHERE NOT EXISTS (SELECT FROM org_snapshots s WHERE s.org_id = first.org_id AND s.slot = due.slot)
"""

# How many of these processes said of late that they work; none while a job is in the hands of another process, which
# is dead: once the workers stop, nobody would take over that job.
_AT_WORK = """
WITH working AS (
    SELECT id, seen_at FROM workers WHERE split_part(name, ':', 2)::integer = ANY($1::integer[])
)
SELECT count(*) FROM working
WHERE seen_at > now() - interval '2 s'
  AND NOT EXISTS (SELECT FROM pgqueuer WHERE status = 'picked' AND queue_manager_id NOT IN (SELECT id FROM working))
"""

_LEFT = """
SELECT entrypoint, dedupe_key, queue_manager_id::text AS worker, now() - heartbeat AS silent_for
FROM pgqueuer WHERE status = 'picked'
"""


@dataclass
class World:
    """All parts of a chaos run."""

    server: EmbeddedServer
    database: Database
    cable: Cable
    sim: Simulator
    crew: Crew
    clock: Path
    ids: list[int]
    edited: set[int] = field(default_factory=set)
    happened: Counter[str] = field(default_factory=Counter)

    async def let(self, event: Event) -> None:
        """Runs one event to its end."""
        self.happened[event.kind] += 1
        org = self.ids[event.whom % len(self.ids)]
        match event.kind:
            case "kill":
                self.crew.kill(event.whom)
            case "freeze":
                await self.crew.freeze(event.whom, event.seconds)
            case "restart_database":
                number = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)[event.whom % 3]
                with suppress(FileNotFoundError, ProcessLookupError):  # it is being restarted already
                    pid_file = self.server.data_dir / "postgresql" / "postmaster.pid"
                    os.kill(int(pid_file.read_text(encoding="utf-8").split()[0]), number)
            case "cut_database":
                await self.cable.cut()
                await asyncio.sleep(event.seconds / 2)
                await self.cable.repair()
            case "lose_data_center":
                name, home = (("reset", "hang", "unavailable")[event.whom % 3], ("sim-us", "sim-eu")[event.whom % 2])
                until = self.sim.zoho.now() + event.seconds
                self.sim.add_faults(*(Fault(name=one, data_center=home, until=until) for one in (name, "token_500")))
            case "set_clock":
                self.clock.write_text(str((event.seconds - 3.0) * 1.5), encoding="ascii")
            case "pause":
                self.edited.add(org)
                await self.edit("UPDATE orgs SET paused_at = now(), updated_at = now() WHERE id = $1", org)
                await asyncio.sleep(event.seconds)
                await self.edit("UPDATE orgs SET paused_at = NULL, updated_at = now() WHERE id = $1", org)
            case _:
                self.edited.add(org)
                seconds = OTHER_INTERVALS[event.whom % len(OTHER_INTERVALS)]
                change = "UPDATE orgs SET poll_interval_seconds = $2, updated_at = now() WHERE id = $1"
                await self.edit(change, org, seconds)

    async def is_calm(self, over: datetime) -> bool:
        """Whether every slot that started before this time has its row, and every worker runs."""
        try:
            at_work = await self.database.fetchval(_AT_WORK, self.crew.pids)
            return at_work == WORKERS and not await self.missing(over)
        except DatabaseError:
            return False

    async def missing(self, over: datetime) -> list[str]:
        """Slots without a row from the first slot of an unedited org until this time, with their queue state."""
        found = await self.database.fetch(
            _MISSING, list(set(self.ids) - self.edited), over, timedelta(seconds=INTERVAL)
        )
        return [f"org {row['org_id']}, slot {row['slot']:%T}: {row['job'] or 'not in the queue'}" for row in found]

    async def edit(self, statement: str, *arguments: Any) -> None:
        """Edits orgs over a separate connection that the failures do not affect."""
        for _ in range(100):
            try:
                await self.database.execute(statement, *arguments)
            except DatabaseError:
                await asyncio.sleep(0.2)
            else:
                return


@asynccontextmanager
async def world(folder: Path, *, orgs: int = ORGS, faults: Sequence[Fault] = FAULTS) -> AsyncIterator[World]:
    server = await asyncio.to_thread(start, folder / "data", binaries=chosen_binaries(), settings=KILLED)
    try:
        await schema.upgrade(server.dsn())
        options = SimulatorOptions(
            orgs=orgs, seed=SEED, latency_median_seconds=0.03, latency_p99_seconds=0.3, retry_after="seconds"
        )
        async with (
            Simulator(options) as sim,
            Cable(server.dsn()) as cable,
            await connect(server.dsn()) as database,
        ):
            sim.add_faults(*faults)
            centers = sim.data_centers_setting()
            await import_fleet(database, Keyring({"k1": KEY}), sim, with_operators(centers))
            # No interval is stretched.
            await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
            clock = folder / "clock"
            clock.write_text("0", encoding="ascii")
            environ = os.environ | {
                "POLLER_DATABASE_URL": cable.dsn,
                "POLLER_SECRET_KEYS": f"k1:{base64.b64encode(KEY).decode()}",
                "POLLER_DATA_CENTERS": json.dumps(centers),
                "POLLER_POLL_INTERVAL": str(INTERVAL),
                "POLLER_CREDIT_SHARE": "1",
                # Two workers may poll an org at once, where one is frozen: together within the smallest edition.
                "POLLER_IN_FLIGHT_SHARE": "0.1",
                "POLLER_REQUEST_TIMEOUT": "2",
            }
            crew = Crew(environ, clock, folder)
            ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]
            yield World(server, database, cable, sim, crew, clock, ids)
            WITNESS.know_simulator(sim)
    finally:
        await asyncio.to_thread(server.close)


async def test_every_slot_of_a_chaos_run_has_a_count_or_a_recorded_reason(tmp_path: Path) -> None:
    print(f"\nPOLLER_TEST_CHAOS_SEED={SEED} POLLER_TEST_CHAOS_SECONDS={SECONDS:.0f}")  # noqa: T201
    async with world(tmp_path) as there:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(there.crew.keep())
                async with asyncio.TaskGroup() as events:
                    for event in storm(SEED, SECONDS):
                        await asyncio.sleep(event.wait)
                        events.create_task(there.let(event))
                there.clock.write_text("0", encoding="ascii")
                over = datetime.now(UTC)
                with suppress(TimeoutError):  # the judge says which are missing
                    await eventually(lambda: there.is_calm(over), CALM_SECONDS)
                there.crew.stop()
        finally:
            there.crew.kill_all()
        report = await classified(there, over)
        print(json.dumps(report, indent=1))  # noqa: T201


async def classified(there: World, over: datetime) -> dict[str, Any]:
    """Asserts everything that must hold after the failures; returns the figures for the report."""
    rows = await there.database.fetch("SELECT * FROM org_snapshots ORDER BY org_id, slot")
    assert {row["org_id"] for row in rows} == set(there.ids)
    missing = await there.missing(over)
    assert not missing, f"POLLER_TEST_CHAOS_SEED={SEED}: " + "; ".join(missing)
    for row in rows:
        counts = {kind.value: row[column] for kind, column in COLUMNS.items()}
        if row["outcome"] == "ok":
            assert counts == there.sim.expected_counts(there.ids.index(row["org_id"]), row["polled_at"])
        else:
            assert row["error"], row
    audit = there.sim.audit()
    events = there.crew.hear()
    assert audit["breaches"] == [], (SEED, audit["breaches"])
    assert not [event for event in events if "Traceback" in event], events
    assert [dict(job) for job in await there.database.fetch(_LEFT)] == [], SEED
    assert there.crew.codes[-3:] == [0, 0, 0]
    asked = sum(row["requests"] for row in rows)
    return {
        "seed": SEED,
        "seconds": SECONDS,
        "happened": dict(there.happened),
        "workers started": there.crew.started,
        "rows": len(rows),
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "errors": dict(Counter(row["error"] for row in rows if row["error"])),
        "late": sum(row["late_seconds"] > 0 for row in rows),
        "requests in rows": asked,
        "requests of cancelled polls": audit["requests"]["count"] - asked,
        "tokens issued": audit["token_issues"],
        "log": {event: count for event, count in sorted(events.items()) if count < 10_000},
    }


def test_the_same_seed_gives_the_same_events() -> None:
    assert list(storm(7, 60)) == list(storm(7, 60))
    assert list(storm(7, 60)) != list(storm(8, 60))
