from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from poller.simulator import Simulator, SimulatorOptions
from tests import command
from tests.acceptance import servers
from tests.command import KEYS
from tests.simulated_fleet import import_by_command
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=servers.MAJORS, ids=lambda major: f"postgresql-{major}")
def server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    folder = servers.found(request.param)
    if folder is None:
        pytest.skip(f"there is no PostgreSQL {request.param} on this machine")
    WITNESS.know(servers.PASSWORD)
    with servers.running(folder) as running:
        yield running
        WITNESS.hear(f"the log of PostgreSQL {request.param}", (running.folder / "log").read_text())


async def test_a_role_without_special_privileges_can_run_the_poller_on_every_installed_postgresql_version(
    server: servers.Server, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=4)) as sim:
        shared = {
            "POLLER_SECRET_KEYS": KEYS,
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
            "POLLER_DATA_DIR": str(tmp_path / "unused"),
        }
        tcp, unix = shared | {"POLLER_DATABASE_URL": server.tcp}, shared | {"POLLER_DATABASE_URL": server.unix}

        refused = await command.run("poll", environ=tcp)
        assert (refused.code, refused.error.endswith("run `poller migrate`")) == (1, True)
        migrated = await command.run("migrate", environ=tcp)
        assert migrated.code == 0, migrated.err
        assert (await command.run("migrate", "--check", environ=unix)).code == 0
        imported = await import_by_command(sim, tmp_path, command.run, environ=unix)
        assert imported.out == "4 orgs: 4 added, 0 changed, 0 same.\n", imported.err
        polled = await command.run("poll", "--json", environ=tcp)
        assert polled.code == 0, polled.err
        told = {line["org"]: line["counts"] for line in map(json.loads, polled.out.splitlines())}
        assert told == {org.name: sim.expected_counts(org.index) for org in sim.fleet()}
        for org in sim.fleet():
            trend = await command.run("trend", org.name, "--since", "1d", "--format", "csv", environ=unix)
            known = {
                row["user_type"]: int(row["last"]) for row in csv.DictReader(trend.out.splitlines()) if row["last"]
            }
            assert known == sim.expected_counts(org.index)
        assert (await command.run("status", environ=unix)).code == 0
    assert not (tmp_path / "unused").exists(), "with a database of the operator's nothing is kept elsewhere"
