"""Commands as processes: from import to counts by the commands of the README, signals, terminals, closed pipes."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES
from poller.simulator import Fault, Simulator, SimulatorOptions
from tests.command import KEYS, start
from tests.simulated_fleet import import_by_command
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.command import Ended

    Process = Callable[..., Awaitable[Ended]]


def environ_of(sim: Simulator) -> dict[str, str]:
    return {"POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()), "POLLER_LOG_LEVEL": "debug"}


async def test_poller_poll_logs_nothing_unless_a_log_level_is_set(
    process: Process, on_database: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=6, grant_share=0.0, soid_share=0.0)) as sim:
        environ = {"POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting())}
        assert (await import_by_command(sim, tmp_path, process, environ=environ)).err == ""
        sim.add_faults(Fault(name="oauth_scope_mismatch", org=1))
        for arguments in (["poll", "--json"], ["poll"]):
            polled = await process(*arguments, environ=environ)
            assert (polled.code, polled.err) == (1, ""), arguments
        loud = await process("poll", "--json", environ=environ | {"POLLER_LOG_LEVEL": "info"})
        events = [json.loads(line)["event"] for line in loud.err.splitlines()]
        # The org that was refused is parked by now, and not asked.
        assert events.count("poll.finished") == 5


async def test_a_fleet_is_imported_polled_and_shown_without_printing_a_secret(
    new_process: Process, on_database: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=6, grant_share=0.0, soid_share=0.3)) as sim:
        environ = environ_of(sim)
        orgs = list(sim.fleet())
        sim.add_faults(Fault(name="oauth_scope_mismatch", org=1))
        imported = await import_by_command(sim, tmp_path, new_process, environ=environ)
        assert imported.out == "6 orgs: 6 added, 0 changed, 0 same.\n"

        polled = await new_process("poll", "--json", environ=environ)
        told = {line["org"]: line for line in map(json.loads, polled.out.splitlines())}
        assert polled.code == 1
        assert set(told) == {org.name for org in orgs}
        for index, org in enumerate(orgs):
            line = told[org.name]
            if index == 1:
                assert (line["outcome"], line["error"], line["counts"]) == ("forbidden", "OAUTH_SCOPE_MISMATCH", {})
                assert line["errors"] == dict.fromkeys(USER_TYPES, "OAUTH_SCOPE_MISMATCH")
            else:
                assert (line["outcome"], line["errors"], line["requests"]) == ("ok", {}, 10)
                assert line["counts"] == sim.expected_counts(index)

        facts = [json.loads(line) for line in polled.err.splitlines()]
        of_orgs = [fact for fact in facts if fact["event"].partition(".")[0] in {"poll", "token", "org"}]
        assert {"poll.finished", "token.refreshed", "org.parked"} <= {fact["event"] for fact in of_orgs}
        slots = {line["org"]: line["slot"] for line in told.values()}
        assert [fact for fact in of_orgs if fact.get("slot") != slots.get(fact.get("org"), "?")] == []

        sim.clear_faults()
        again = await new_process("poll", orgs[1].name, environ=environ)
        assert again.code == 0, "an org that is named is asked though it is parked"
        assert "1 org: 1 ok · 10 requests in " in again.out

        trend = await new_process("trend", orgs[0].name, "--format", "csv", "--since", "1d", environ=environ)
        known = [row for row in csv.DictReader(trend.out.splitlines()) if row["last"]]
        assert {row["user_type"]: int(row["last"]) for row in known} == sim.expected_counts(0)
        whole = await new_process("trend", "--format", "json", "--since", "2d", environ=environ)
        steps = json.loads(whole.out)
        assert len(steps) == 6 * 10 * 3
        assert any(step["last"] is None for step in steps)
        status = await new_process("status", environ=environ)

        printed = [imported, polled, again, trend, whole, status]
        assert any('"level": "debug"' in ended.err for ended in printed) or polled.err
        text = "".join(ended.out + ended.err for ended in printed)
        for org in orgs:
            for secret in (org.client_secret, org.refresh_token.split(".")[1], org.refresh_token.split(".")[2]):
                assert secret not in text
        assert KEYS[3:] not in text
        assert "Traceback" not in text
        assert sim.audit()["breaches"] == []


async def test_a_database_with_pending_migrations_is_reported_and_migrated_on_request(
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
    blank_database_url: str,
) -> None:
    monkeypatch.setenv("POLLER_DATABASE_URL", blank_database_url)
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEYS)
    refused = await process("orgs", "list")
    assert refused.code == 1
    assert refused.error.endswith("; run `poller migrate`")
    behind = await process("migrate", "--check")
    assert behind.code == 1
    assert behind.error.startswith("The database is empty, this poller needs ")
    migrated = await process("migrate")
    assert migrated.code == 0
    assert migrated.err.splitlines()[-1].startswith("The database was empty, and is at revision ")
    assert (await process("migrate", "--check")).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("on_database")
async def test_a_poll_that_gets_a_stop_signal_ends_without_output(
    process: Process, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # A minute a request: nothing but the signal ends this soon.
    slow = SimulatorOptions(orgs=3, latency_median_seconds=60, latency_p99_seconds=60)
    async with Simulator(slow) as sim, asyncio.timeout(60):
        environ = {**environ_of(sim), "POLLER_LOG_LEVEL": "error", "POLLER_REQUEST_TIMEOUT": "120s"}
        await import_by_command(sim, tmp_path, process, environ=environ)
        polling = await start("poll", environ=environ, fresh=True)
        try:
            while not sim.audit()["requests"].get("token"):  # noqa: ASYNC110  # another process is waited for
                await asyncio.sleep(0.05)
            polling.send_signal(number)
            out, err = await polling.communicate()
        finally:
            await polling.end()
        assert (polling.returncode, out, err) == (code, b"", b"")


async def test_the_simulator_runs_until_it_gets_a_stop_signal(tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        simulating = await start("simulate", "--orgs", "3", "--write-orgs", "fleet.csv", fresh=True)
        try:
            line = (await simulating.stdout.readline()).decode()
            setting = line.removeprefix("export POLLER_DATA_CENTERS='").removesuffix("'\n")
            assert set(json.loads(setting)) == {"sim-us", "sim-eu"}
            assert len((tmp_path / "fleet.csv").read_text().splitlines()) == 4
            assert (tmp_path / "fleet.csv").stat().st_mode & 0o077 == 0
            simulating.send_signal(signal.SIGINT)
            _, err = await simulating.communicate()
        finally:
            await simulating.end()
    assert simulating.returncode == 0
    assert b"poller orgs import fleet.csv && poller poll" in err


@pytest.mark.usefixtures("on_database")
async def test_a_pipe_closed_by_its_reader_is_not_an_error(tmp_path: Path, process: Process) -> None:
    rows = "".join(f"Org {number},us,1000.{number},s,r\n" for number in range(2_000))
    (tmp_path / "orgs.csv").write_text(f"name,data_center,client_id,client_secret,refresh_token\n{rows}")
    assert (await process("orgs", "import", "orgs.csv")).code == 0
    async with asyncio.timeout(60):
        listing = await start("trend", "--format", "csv", fresh=True)
        try:
            await listing.stdout.readline()
            # The reader stops: the pipe is closed on our side.
            listing.stdout.close()
            err = await listing.stderr.read()
            await listing.wait()
        finally:
            await listing.end()
    assert (listing.returncode, err) == (141, b"")


@pytest.mark.usefixtures("on_database")
def test_secrets_typed_at_a_terminal_are_not_shown() -> None:
    secrets = [b"4f1c9a7e5b2d8f60aa", b"4f1c9a7e5b2d8f60bb"]
    ours, theirs = pty.openpty()
    # Opened by the leader of a session, a terminal becomes the session's own, which is where passwords are asked for.
    at_terminal = "import os; os.open(os.ttyname(0), os.O_RDWR); from poller.__main__ import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", at_terminal, "orgs", "add", "Acme", "--client-id", "1000.A"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as asking:
        os.close(theirs)
        seen = b""
        try:
            # The blank after the colon is the last thing written before an answer is read.
            for question, answer in ((b"): ", b"eu"), (b"secret: ", secrets[0]), (b"token: ", secrets[1])):
                seen += read_to(ours, question)
                os.write(ours, answer + b"\n")
            seen += read_to(ours, b"is added")
            asking.wait(30)
        finally:
            asking.kill()
            os.close(ours)
    WITNESS.know(*(secret.decode() for secret in secrets))
    WITNESS.hear("poller orgs add (at a terminal)", seen)
    assert asking.returncode == 0
    assert not any(secret in seen for secret in secrets)


def read_to(terminal: int, end: bytes) -> bytes:
    """The text of a terminal up to `end`; an error with the whole text if `end` does not appear."""
    seen = b""
    while end not in seen:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, seen
        seen += os.read(terminal, 1_024)
    return seen
