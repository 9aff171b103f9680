"""The demo as a command: its data matches its options, also after an earlier demo with other options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import command
from tests.command import start

if TYPE_CHECKING:
    from pathlib import Path

REPLACED = "is of another fleet or of fewer days; it is replaced."


async def demo(data_dir: Path, *options: str) -> str:
    environ = {"POLLER_DATA_DIR": str(data_dir), "POLLER_DATABASE_URL": "", "DATABASE_URL": "postgresql://elsewhere/x"}
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
    environ = {"POLLER_DATA_DIR": str(data_dir / "demo"), "POLLER_DATABASE_URL": ""}
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


async def test_a_demo_prints_its_progress_from_the_start(tmp_path: Path) -> None:
    environ = {"POLLER_DATA_DIR": str(tmp_path), "POLLER_DATABASE_URL": ""}
    running = await start("demo", "--orgs", "1", "--days", "1", environ=environ)
    try:
        assert await running.stdout.readline() == "Starting PostgreSQL and a simulated Zoho …\n".encode()
        assert not (tmp_path / "demo" / "postgresql").exists(), "said before the seconds that it takes"
    finally:
        await running.end()


async def test_a_demo_prints_the_progress_of_a_long_history_to_a_pipe(tmp_path: Path) -> None:
    environ = {"POLLER_DATA_DIR": str(tmp_path), "POLLER_DATABASE_URL": ""}
    # Months of work: the test ends at the first line about it.
    running = await start("demo", "--orgs", "1000", "--days", "900", environ=environ)
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
    environ = {"POLLER_DATA_DIR": str(tmp_path / "demo"), "POLLER_DATABASE_URL": ""}
    query = "SELECT (SELECT count(DISTINCT org_id) FROM seat_usage), (SELECT count(*) FROM seat_forecasts)"
    assert (await command.run("psql", "--", "-Atc", query, environ=environ)).out == "3|3\n"
