"""The demo as a command: its data matches its options, also after an earlier demo with other options."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from typing import TYPE_CHECKING

import aiohttp

from tests import command
from tests.command import start
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

REPLACED = "is of another fleet or of fewer days; it is replaced."


def own(data_dir: Path) -> dict[str, str]:
    """Settings of a demo in this folder, with any free port for its dashboard."""
    return {"POLLER_DATA_DIR": str(data_dir), "POLLER_DATABASE_URL": "", "POLLER_WEB_PORT": "0"}


async def demo(data_dir: Path, *options: str) -> str:
    environ = own(data_dir) | {"DATABASE_URL": "postgresql://elsewhere/x"}
    ended = await command.run("demo", "--polls", "1", "--every", "1", *options, environ=environ)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


async def facts(data_dir: Path) -> tuple[int, int, int]:
    """The number of orgs, days of history, and orgs with a shorter history than others."""
    query = """
        WITH org AS (SELECT org_id, min(slot) AS since FROM org_snapshots GROUP BY 1),
             fleet AS (SELECT min(slot) AS since, max(slot) AS until FROM org_snapshots)
        SELECT (SELECT count(*) FROM org), (SELECT round(extract(epoch FROM until - since) / 86400) FROM fleet),
               (SELECT count(*) FROM org, fleet WHERE org.since > fleet.since)
    """
    environ = own(data_dir / "demo")
    ended = await command.run("psql", "--", "-Atc", query, environ=environ)
    orgs, days, shorter = map(int, ended.out.split("|"))
    return orgs, days, shorter


async def test_a_demo_with_other_options_replaces_the_fleet_and_history_of_the_last_demo(tmp_path: Path) -> None:
    first = await demo(tmp_path, "--orgs", "2", "--days", "3")
    assert REPLACED not in first
    assert await facts(tmp_path) == (2, 3, 0)
    for options, expected in (
        (("--orgs", "4", "--days", "5"), (4, 5, 0)),
        (("--orgs", "2", "--days", "5"), (2, 5, 0)),
        (("--orgs", "2", "--days", "5", "--seed", "2"), (2, 5, 0)),
    ):
        told = await demo(tmp_path, *options)
        assert REPLACED in told
        assert "2 orgs: 2 ok" in told or "4 orgs: 4 ok" in told
        assert await facts(tmp_path) == expected
    again = await demo(tmp_path, "--orgs", "2", "--days", "1", "--seed", "2")
    assert REPLACED not in again
    assert await facts(tmp_path) == (2, 5, 0)


async def test_the_first_line_of_a_demo_is_the_address_of_its_dashboard(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = await start(
            "demo", "--orgs", "1", "--days", "1", environ=own(tmp_path) | {"POLLER_WEB_PORT": f"{port}"}
        )
        try:
            first = (await running.stdout.readline()).decode()
            assert first.startswith("Dashboard: http://127.0.0.1:")
            assert first.endswith(f" (ready in a few seconds; port {port} is in use)\n")
            assert f":{port} " not in first
            assert await running.stdout.readline() == "Starting PostgreSQL and a simulated Zoho …\n".encode()
            assert not (tmp_path / "demo" / "postgresql").exists(), "said before the seconds that it takes"
        finally:
            await running.end()


async def test_a_demo_serves_a_fleet_with_orgs_in_trouble_until_ctrl_c(tmp_path: Path) -> None:
    running = await start("demo", "--orgs", "20", "--days", "4", "--every", "2", environ=own(tmp_path))
    try:
        url = (await running.stdout.readline()).decode().split()[1]
        for_ever = {"parked": 3, "paused": 1, "never_polled": 1}
        # The back-fill is over at the first line of polls.
        while b"orgs: " not in (line := await running.stdout.readline()):
            assert line, "it ended"

        async def has_trouble() -> bool:
            states = await states_of(tmp_path)
            return for_ever.items() <= states.items() and {"failing", "held", "ok"} <= states.keys()

        assert await eventually(has_trouble, 60), await states_of(tmp_path)
        async with aiohttp.ClientSession() as session, session.get(f"{url}/") as page:
            assert page.status == 200
        running.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            out, _ = await running.communicate()
            assert await running.wait() == 0
        assert b"Zoho's rules: none was broken." in out
    finally:
        await running.end()


async def states_of(data_dir: Path) -> dict[str, int]:
    """The number of orgs in each state, in the demo's database."""
    environ = own(data_dir / "demo")
    ended = await command.run("status", "--json", environ=environ)
    orgs: dict[str, int] = json.loads(ended.out)["states"]
    return orgs


async def test_a_demo_prints_the_progress_of_a_long_history_to_a_pipe(tmp_path: Path) -> None:
    # Months of work: the test ends at the first line about it.
    running = await start("demo", "--orgs", "1000", "--days", "900", environ=own(tmp_path))
    try:
        lines: list[str] = []
        while not lines or not lines[-1].endswith("of the history is written\n"):
            lines.append((await running.stdout.readline()).decode())
            assert lines[-1], f"it ended: {lines}"
        assert "Writing 900 days of history of 1,000 orgs …\n" in lines
    finally:
        await running.end()


async def test_a_demo_has_seats_forecasts_and_anomalies(tmp_path: Path) -> None:
    told = await demo(tmp_path, "--orgs", "3", "--days", "40")
    assert "Seats and when they run out: " in told
    environ = own(tmp_path / "demo")
    query = "SELECT (SELECT count(DISTINCT org_id) FROM seat_usage), (SELECT count(*) FROM seat_forecasts)"
    assert (await command.run("psql", "--", "-Atc", query, environ=environ)).out == "3|3\n"
