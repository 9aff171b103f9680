"""`poller web` and `poller run --no-web`, as processes."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from poller.simulator import Simulator, SimulatorOptions
from poller.store import database as databases
from tests import command
from tests.acceptance.processes import machine
from tests.command import KEYS
from tests.simulated_fleet import import_by_command
from tests.web.scrape import served_at
from tests.web.test_access import get
from tests.web.test_api import KEY, RIGHT
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


def environ(database_url: str, **settings: str) -> dict[str, str]:
    return {"POLLER_DATABASE_URL": database_url, "POLLER_SECRET_KEYS": KEYS, "POLLER_LOG_FORMAT": "json", **settings}


async def test_poller_web_serves_api_and_metrics_and_does_not_poll(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=2, grant_share=0.0, soid_share=0.0)) as sim:
        mine = machine(sim, database_url, POLLER_WEB_PORT="0", POLLER_API_KEY=KEY, POLLER_POLL_INTERVAL="1")
        await import_by_command(sim, tmp_path, mine.run)
        assert (await mine.run("poll")).code == 0
        async with await databases.connect(database_url) as database:
            rows = await database.fetchval("SELECT count(*) FROM org_snapshots")
            service = await mine.start("web")
            try:
                url = await served_at(service)
                assert await get(f"{url}/readyz") == (200, "ready\n")
                assert (await get(f"{url}/api/v1/trend"))[0] == 401
                status, text = await get(f"{url}/api/v1/trend?since=1d", RIGHT)
                assert (status, len({one["org"] for one in json.loads(text)})) == (200, 2)
                metrics = (await get(f"{url}/metrics"))[1]
                assert 'poller_orgs{state="active"} 2.0' in metrics
                assert "poller_polls_total" not in metrics, "this process makes no polls"
                assert await database.fetchval("SELECT count(*) FROM workers") == 0
                assert await database.fetchval("SELECT count(*) FROM org_snapshots") == rows
                service.send_signal(signal.SIGTERM)
                await service.communicate()
                assert await service.wait() == 0
            finally:
                if service.returncode is None:
                    await service.end()


async def test_poller_web_shows_ages_by_postgresqls_clock_as_it_is_now(database_url: str) -> None:
    async with await databases.connect(database_url) as database:
        for statement in (
            "CREATE TABLE clock (days integer)",
            "INSERT INTO clock VALUES (0)",
            (
                "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS"
                " 'SELECT pg_catalog.clock_timestamp() + make_interval(days => days) FROM public.clock'"
            ),
            (
                "DO $$ BEGIN EXECUTE format("
                "'ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
            ),
            "INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')",
            "INSERT INTO latest_snapshots (org_id, slot, polled_at) SELECT id, now(), now() FROM orgs",
        ):
            await database.execute(statement)
        service = await command.start(
            "web",
            environ=environ(database_url, POLLER_WEB_PORT="0", POLLER_API_KEY=KEY, POLLER_METRICS_ORGS="10"),
        )
        try:
            url = await served_at(service)

            async def age_in_days() -> float:
                text = (await get(f"{url}/metrics/orgs", RIGHT))[1]
                return float(text.splitlines()[-1].rpartition(" ")[2]) / 86_400

            assert await age_in_days() < 1
            # As after a suspend of the machine: time passed without this process noticing.
            await database.execute("UPDATE clock SET days = 3")
            await eventually(lambda: _is_about(3, age_in_days), 30)
        finally:
            await service.end()


async def _is_about(days: int, age_in_days: Callable[[], Awaitable[float]]) -> bool:
    return days <= await age_in_days() < days + 1


async def test_poller_web_on_a_taken_port_ends_with_one_line(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = await command.run("web", environ=environ(database_url, POLLER_WEB_PORT=str(port)))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1] == (
        f"poller: 127.0.0.1 port {port} cannot be listened at: Address already in use; "
        "set POLLER_WEB_HOST to an address of this machine and POLLER_WEB_PORT to a free port, 0 for any"
    )


@pytest.mark.parametrize("name", ["web", "run"])
async def test_the_service_does_not_start_on_a_public_address_without_an_api_key_and_https(
    database_url: str, name: str
) -> None:
    for settings in ({}, {"POLLER_API_KEY": KEY}):
        ended = await command.run(name, environ=environ(database_url, POLLER_WEB_HOST="0.0.0.0", **settings))
        assert (ended.code, ended.out) == (2, "")
        line = ended.err.splitlines()[-1]
        assert line.startswith("poller: POLLER_WEB_HOST: 0.0.0.0 can be reached by others and ")
        assert "--no-web" in line


async def test_run_no_web_opens_no_port_and_needs_no_api_key(database_url: str) -> None:
    service = await command.start(
        "run", "--no-web", environ=environ(database_url, POLLER_WEB_HOST="0.0.0.0", POLLER_WEB_PORT="0")
    )
    try:
        async with await databases.connect(database_url) as database:
            await eventually(lambda: database.fetchval("SELECT count(*) FROM workers"))
            name = await database.fetchval("SELECT name FROM workers")
        service.send_signal(signal.SIGTERM)
        _, log = await service.communicate()
    finally:
        if service.returncode is None:
            await service.end()
    assert b"web." not in log
    assert f'"worker": "{name}"'.encode() in log, "the log names the worker as `poller status` does"
