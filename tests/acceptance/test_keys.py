"""Encryption keys are replaced by the steps of docs/operations.md, with real processes under load."""

from __future__ import annotations

import json
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from poller.simulator import Simulator, SimulatorOptions
from tests.acceptance.processes import Machine, machine
from tests.command import KEYS
from tests.simulated_fleet import import_by_command
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from poller.store.database import Database
    from tests import command

ORGS: Final = 20
INTERVAL_SECONDS: Final = 3
WORKERS: Final = 3
OLD: Final = KEYS
NEW: Final = "k2:bmV3LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldDE="
LOOK_ALIKE: Final = OLD.replace("c2Vj", "dDVj")
"""Another key of the same id."""


def with_keys(mine: Machine, keys: str) -> Machine:
    return replace(mine, environ={**mine.environ, "POLLER_SECRET_KEYS": keys})


async def stop(worker: command.Running) -> None:
    worker.send_signal(signal.SIGTERM)
    await worker.communicate()


async def imported(mine: Machine, sim: Simulator, folder: Path, database: Database) -> None:
    await import_by_command(sim, folder, mine.run)
    await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")


@pytest.mark.parametrize(
    "order",
    [(f"{OLD},{NEW}", f"{NEW},{OLD}"), (f"{NEW},{OLD}",)],
    ids=["behind the old key first, then in front", "in front of the old key at once"],
)
async def test_a_key_is_replaced_under_load_without_losing_a_slot(
    database: Database, database_url: str, tmp_path: Path, order: Sequence[str]
) -> None:
    async with Simulator(SimulatorOptions(orgs=ORGS)) as sim, AsyncExitStack() as cleanup:
        mine = machine(
            sim,
            database_url,
            POLLER_WEB_PORT="0",
            POLLER_POLL_INTERVAL=f"{INTERVAL_SECONDS}s",
            POLLER_CREDIT_SHARE="1.0",
            POLLER_LOG_LEVEL="warning",
        )
        await imported(with_keys(mine, OLD), sim, tmp_path, database)
        workers = [await with_keys(mine, OLD).start("run") for _ in range(WORKERS)]
        cleanup.push_async_callback(end_all, workers)
        started = await eventually(lambda: database.fetchval("SELECT max(slot) FROM org_snapshots"))

        for keys in order:
            for place, worker in enumerate(workers):
                await stop(worker)
                workers[place] = await with_keys(mine, keys).start("run")
                await at_work(database)
        rotated = await with_keys(mine, order[-1]).run("keys", "rotate")
        assert (rotated.code, rotated.err) == (0, "")
        assert "No row uses k1 any more: remove it" in rotated.out
        for place, worker in enumerate(workers):
            await stop(worker)
            workers[place] = await with_keys(mine, NEW).start("run")
            await at_work(database)
        enough = started + timedelta(seconds=5 * INTERVAL_SECONDS)
        await eventually(lambda: database.fetchval("SELECT max(slot) >= $1 FROM org_snapshots", enough))
        ended = await database.fetchval("SELECT max(slot) FROM org_snapshots")
        (listed,) = (await with_keys(mine, NEW).run("keys", "list", "--json")).out.splitlines()
        assert json.loads(listed)["key"] == "k2"
        rows = await database.fetch(
            """
            SELECT org_id, count(*) AS slots, min(slot) AS first,
                   array_agg(DISTINCT concat_ws(' ', outcome, error)) AS said
            FROM org_snapshots WHERE slot > $1 AND slot < $2 GROUP BY org_id
            """,
            started,
            ended,
        )
        slots = (ended - started) // timedelta(seconds=INTERVAL_SECONDS) - 1
        assert {(row["slots"], *row["said"]) for row in rows} == {(slots, "ok")}
        assert len(rows) == ORGS
        assert slots >= 4


async def end_all(workers: Sequence[command.Running]) -> None:
    for worker in workers:
        if worker.returncode is None:
            await worker.end()


async def at_work(database: Database) -> None:
    """Waits until all workers run and the whole fleet was polled once more."""
    since = await database.fetchval("SELECT now()")

    async def is_so() -> bool:
        workers = await database.fetchval("SELECT count(*) FROM workers WHERE seen_at > now() - interval '20 seconds'")
        rows = await database.fetchval("SELECT count(*) FROM org_snapshots WHERE polled_at > $1", since)
        return bool(workers == WORKERS and rows >= ORGS)

    await eventually(is_so)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (NEW, "are encrypted with the key k1, which is not in POLLER_SECRET_KEYS; add k1 behind the first key"),
        (LOOK_ALIKE, "are encrypted with another key named k1 than the one in POLLER_SECRET_KEYS; put the right k1"),
    ],
    ids=["absent", "other bytes"],
)
async def test_a_worker_without_a_key_that_is_in_use_does_not_start_and_names_the_key(
    database: Database, database_url: str, tmp_path: Path, keys: str, said: str
) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim:
        mine = machine(sim, database_url, POLLER_WEB_PORT="0")
        await imported(mine, sim, tmp_path, database)
        ended = await with_keys(mine, keys).run("run")
        assert ended.code == 2
        assert ended.err.splitlines()[-1].startswith(f"poller: the credentials of 3 orgs {said}")
        assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 0


async def test_polling_with_the_wrong_key_fails_for_every_org_and_names_the_key(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim:
        mine = machine(sim, database_url)
        await imported(mine, sim, tmp_path, database)
        ended = await with_keys(mine, NEW).run("poll", "--json")
        assert ended.code == 1
        assert {(one["outcome"], one["error"]) for one in map(json.loads, ended.out.splitlines())} == {
            ("missed", "key_missing")
        }
        assert '"key": "k1"' in ended.err or '"key":"k1"' in ended.err
        assert sim.audit()["orgs"] == []


async def test_keys_are_listed_with_the_number_of_rows_they_encrypt(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim:
        mine = machine(sim, database_url)
        await imported(mine, sim, tmp_path, database)
        await mine.run("poll")
        listed = await with_keys(mine, f"{NEW},{OLD}").run("keys", "list", "--json")
        assert [json.loads(line) for line in listed.out.splitlines()] == [
            {
                "key": "k2",
                "state": "encrypts",
                "rows": {"org_credentials": 0, "access_tokens": 0, "notify_addresses": 0, "access_keys": 0},
                "total": 0,
            },
            {
                "key": "k1",
                "state": "decrypts",
                "rows": {"org_credentials": 3, "access_tokens": 3, "notify_addresses": 0, "access_keys": 0},
                "total": 6,
            },
        ]
        rotated = await with_keys(mine, NEW).run("keys", "rotate")
        assert rotated.code == 1
        assert (
            "is encrypted with the key 'k1', which this process lacks (and so are 2 more orgs' credentials)"
            in rotated.error
        )
        table = await with_keys(mine, NEW).run("keys", "list")
        assert [line.split() for line in table.out.splitlines()[1:]] == [
            ["k2", "encrypts", "0", "0", "0", "0"],
            ["k1", "missing", "3", "0", "0", "0"],
        ]
