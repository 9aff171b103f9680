"""An upgrade without downtime: workers of version 0.1.0 poll before, during and after the migration to this version."""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg
import pytest

from poller import __version__
from poller.simulator import Simulator, SimulatorOptions
from poller.store import schema
from tests import command
from tests.acceptance.processes import Machine, machine
from tests.postgres import run_on
from tests.simulated_fleet import import_by_command
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT: Final = Path(__file__).parents[2]
PREVIOUS: Final = "0.1.0"
COMMIT: Final = "ec461845193211dc142c3c30857ec66e959bf60a"
"""The commit of version 0.1.0. Its code runs with the packages of today, because they include all that it needs."""
ORGS: Final = 10
INTERVAL: Final = timedelta(seconds=2)


@pytest.fixture(scope="module")
def previous_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of version 0.1.0, from the history of this repository."""
    archive = ["git", "-C", str(ROOT), "archive", "--format=tar", COMMIT, "poller", "migrations"]
    try:
        code = subprocess.run(archive, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip(f"git is not installed, so the code of version {PREVIOUS} cannot be read from the history")
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode().strip().splitlines()[0]
        pytest.skip(f"the history of this folder does not contain commit {COMMIT}, version {PREVIOUS}: {reason}")
    folder = tmp_path_factory.mktemp("previous-version")
    with tarfile.open(fileobj=io.BytesIO(code)) as opened:
        opened.extractall(folder, filter="data")
    return folder


class BothVersions:
    """Processes of both versions that share a database; kills those that are left at the end of a `with` block."""

    def __init__(self, mine: Machine, previous_code: Path) -> None:
        self.mine = mine
        self._previous: dict[str, Any] = {
            # Its modules are compiled once, whatever the shell says.
            "environ": {**mine.environ, "PYTHONDONTWRITEBYTECODE": ""},
            "inherit": False,
            "cwd": previous_code,
            "fresh": True,
        }
        self._cleanup = AsyncExitStack()

    async def run_previous(self, *arguments: str) -> command.Ended:
        """Runs a command of the previous version."""
        return await command.run(*arguments, **self._previous)

    async def start_previous(self) -> command.Running:
        """Starts a worker of the previous version."""
        return self._kept(await command.start("run", **self._previous))

    async def start_today(self) -> command.Running:
        """Starts a worker of this version."""
        return self._kept(await self.mine.start("run"))

    def _kept(self, worker: command.Running) -> command.Running:
        self._cleanup.push_async_callback(end, worker)
        return worker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cleanup.aclose()


async def end(worker: command.Running) -> None:
    if worker.returncode is None:
        await worker.end()


async def stop(worker: command.Running) -> tuple[int, str]:
    """Stops a worker; returns its exit code and the warnings it logged since it started."""
    if worker.returncode is None:
        worker.send_signal(signal.SIGTERM)
    _, err = await worker.communicate()
    return await worker.wait(), err.decode()


class Rows:
    """What the database says of the workers and the slots of both versions."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def versions(self) -> list[str]:
        """The versions of the workers that run."""
        return [row["version"] for row in await self._connection.fetch("SELECT version FROM workers ORDER BY 1")]

    async def revision(self) -> str:
        return str(await self._connection.fetchval("SELECT version_num FROM alembic_version"))

    async def every_org_is_polled_again(self) -> None:
        """Waits until each org has one more complete snapshot, polled after this moment."""
        since = await self._connection.fetchval("SELECT clock_timestamp()")
        polled = "SELECT count(DISTINCT org_id) = $1 FROM org_snapshots WHERE outcome = 'ok' AND polled_at > $2"
        await eventually(lambda: self._connection.fetchval(polled, ORGS, since))

    async def slots_without_a_row(self) -> list[Any]:
        """Slots between an org's first and last row that have none."""
        missing: list[Any] = await self._connection.fetch(
            """
            SELECT org_id, slot FROM (SELECT org_id, min(slot), max(slot) FROM org_snapshots GROUP BY org_id) span,
                generate_series(span.min, span.max, $1::interval) slot
            EXCEPT SELECT org_id, slot FROM org_snapshots
            """,
            INTERVAL,
        )
        return missing

    async def reasons(self) -> set[str]:
        """Why counts are unknown."""
        unknown = "SELECT DISTINCT concat_ws(' ', outcome, error) AS why FROM org_snapshots WHERE outcome <> 'ok'"
        return {row["why"] for row in await self._connection.fetch(unknown)}

    async def totals(self) -> Any:
        """The number of rows, of slots, and of the requests that the rows are made of."""
        return await self._connection.fetchrow(
            "SELECT count(*), count(DISTINCT (org_id, slot)) AS slots, sum(requests) AS requests FROM org_snapshots"
        )


@pytest.fixture
async def rows(blank_database_url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(blank_database_url, statement_cache_size=0)
    try:
        yield Rows(connection)
    finally:
        await connection.close()


async def set_up_by_previous_version(pollers: BothVersions, sim: Simulator, folder: Path, database_url: str) -> None:
    """Migrates the empty database and imports the fleet, by commands of the previous version."""
    migrated = await pollers.run_previous("migrate")
    assert migrated.code == 0, migrated.err
    await import_by_command(sim, folder, pollers.run_previous)
    await run_on(database_url, "UPDATE orgs SET edition = 'ultimate', licences = 100000")


async def test_workers_of_the_previous_version_poll_through_the_migration_and_no_slot_is_lost_or_doubled(
    previous_code: Path, blank_database_url: str, rows: Rows, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=ORGS)) as sim:
        mine = machine(
            sim,
            blank_database_url,
            POLLER_WEB_PORT="0",
            POLLER_POLL_INTERVAL=f"{INTERVAL.seconds}s",
            POLLER_CREDIT_SHARE="1.0",
            POLLER_LOG_LEVEL="warning",
        )
        async with BothVersions(mine, previous_code) as pollers:
            await set_up_by_previous_version(pollers, sim, tmp_path, blank_database_url)
            old = [await pollers.start_previous() for _ in range(2)]
            await rows.every_org_is_polled_again()
            assert await rows.revision() == "0009"

            upgraded = await mine.run("migrate")
            assert upgraded.code == 0, upgraded.err
            await rows.every_org_is_polled_again()
            assert (await rows.revision(), await rows.versions()) == (schema.head_revision(), [PREVIOUS, PREVIOUS])

            new = await pollers.start_today()
            await eventually(lambda: joined(rows))
            await rows.every_org_is_polled_again()
            assert [await stop(worker) for worker in old] == [(0, "")] * 2

            await rows.every_org_is_polled_again()
            assert await rows.versions() == [__version__]
            assert await stop(new) == (0, "")

        assert await rows.slots_without_a_row() == []
        # Every request that the simulator got is of a row, and each row of another slot: no slot was polled twice.
        count, slots, requests = await rows.totals()
        assert (count, requests) == (slots, sim.audit()["requests"]["count"])
        # A loaded machine may be too late for a slot of two seconds; the row says so, and nothing else goes wrong.
        assert await rows.reasons() <= {"missed too_late"}
        assert sim.audit()["breaches"] == []


async def joined(rows: Rows) -> bool:
    return __version__ in await rows.versions()
