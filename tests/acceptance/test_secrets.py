"""No secret appears in anything printed, logged or listed: first for a series of commands, then for the whole suite."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from poller.simulator import Fault, Simulator, SimulatorOptions
from tests import command
from tests.simulated_fleet import fleet_file
from tests.witness import WITNESS, Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDED = "1000.added.by-hand-with-a-secret"


@contextmanager
def process_list(of: Witness = WITNESS) -> Iterator[Witness]:
    """Records every command line of this machine repeatedly, to search for the secrets known to `of`."""
    seen, over = Witness(secrets=of.secrets), threading.Event()

    def watch() -> None:
        lines: set[bytes] = set()
        while not over.wait(0.01):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_bytes()
                except OSError:
                    continue
                if line not in lines:
                    lines.add(line)
                    seen.hear("the process list", line.replace(b"\0", b" "))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


async def test_commands_show_no_secret_in_their_output_in_a_log_or_in_the_process_list(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with Simulator(SimulatorOptions(orgs=9, grant_share=0.3, soid_share=0.3)) as sim:
        environ = {
            "POLLER_DATA_DIR": str(data_dir),
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
            "POLLER_LOG_LEVEL": "debug",
        }
        good, bad = fleet_file(sim, tmp_path), fleet_file(sim, tmp_path, "jsonl")
        bad.write_text(bad.read_text().replace("sim-us", "nowhere"))
        sim.add_faults(
            Fault(name="oauth_scope_mismatch", org=1),
            Fault(name="truncated", org=2),
            Fault(name="token_html", org=3),
        )
        added = f"client_id=1000.A\nclient_secret={ADDED}-1\nrefresh_token={ADDED}-2\ndata_center=sim-us\n".encode()
        with process_list() as seen:
            ends = [
                await command.run(*arguments, stdin=stdin, environ=environ, fresh=True)
                for arguments, stdin in (
                    (("orgs", "import", str(bad)), b""),
                    (("orgs", "import", str(good)), b""),
                    (("orgs", "add", "By hand"), added),
                    (("orgs", "add", "Wrongly"), added.replace(b"sim-us", b"nowhere")),
                    (("orgs", "check"), b""),
                    (("poll",), b""),
                    (("orgs", "list", "--json"), b""),
                    (("status",), b""),
                    (("psql", "--", "-c", "SELECT * FROM org_snapshots"), b""),
                )
            ]
        WITNESS.know_simulator(sim)
        WITNESS.hear("the embedded server's log", "".join(log.read_text() for log in data_dir.rglob("*.log")))
    # The good file fails for one org alone: its grant code meets the token endpoint's HTML.
    assert [ended.code for ended in ends] == [2, 1, 0, 2, 1, 1, 0, 0, 0], ends
    assert any("python" in line and "orgs import" in line for line in seen.heard["the process list"])
    assert any("postgres" in line for line in seen.heard["the process list"])
    assert seen.known_leaks() == []


async def test_no_error_contains_the_password_of_the_database() -> None:
    password = "the-password-of-the-database"
    keys = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="
    nowhere = f"postgresql://poller:{password}@127.0.0.1:1/poller"
    with process_list() as seen:
        for environ in (
            {"POLLER_DATABASE_URL": nowhere, "POLLER_SECRET_KEYS": keys},
            {"POLLER_DATABASE_URL": nowhere, "POLLER_SECRET_KEYS": keys[:-9]},
            {"POLLER_DATABASE_URL": nowhere.replace("postgresql", "mysql"), "POLLER_SECRET_KEYS": keys},
            {"POLLER_DATABASE_URL": nowhere.replace("127.0.0.1", "[::"), "POLLER_SECRET_KEYS": keys},
            {"POLLER_DATABASE_URL": nowhere},
        ):
            ended = await command.run("migrate", environ={"POLLER_LOG_LEVEL": "debug"} | environ, fresh=True)
            assert ended.code in {1, 2}
    assert seen.known_leaks() == []


async def test_the_secret_search_finds_a_secret_on_a_command_line() -> None:
    own = Witness(secrets={f"{ADDED}-3"})
    with process_list(own) as seen:
        await command.run("trend", "--type", f"{ADDED}-3", witness=own, fresh=True)
    assert "the process list: a secret a test knows" in seen.known_leaks()[0]
