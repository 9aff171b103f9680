"""Text from outside never sends control characters to a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.simulator import Simulator, SimulatorOptions
from poller.store.series.snapshots import write_snapshots
from tests import command
from tests.acceptance.processes import at_terminal, machine
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

TITLE = "\x1b]0;pwned\x07\x9b31m"
_OBEYED = re.compile(r"\x1b\]0;|\x9b|\x07")


@pytest.mark.parametrize(
    "arguments",
    [
        ("orgs", "list"),
        ("orgs", "list", "--json"),
        ("status",),
        ("trend",),
        ("trend", "--format", "csv"),
        ("trend", "--format", "json"),
        ("gaps",),
        ("poll", "--json"),
    ],
    ids=" ".join,
)
async def test_control_characters_in_a_name_written_by_another_program_are_escaped(
    database: Database, database_url: str, keyring: Keyring, arguments: tuple[str, ...]
) -> None:
    (org_id,) = await added(database, keyring, entry("Acme"))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    counts = dict.fromkeys(USER_TYPES, 7)
    await write_snapshots(database, [Snapshot(org_id, now, now, Outcome.OK, counts=counts)])
    await database.execute("UPDATE orgs SET name = $1, tags = ARRAY[$1]", f"Acme{TITLE}")
    async with Simulator(SimulatorOptions(orgs=1)) as sim:
        mine = machine(sim, database_url)
        async with at_terminal(mine, *arguments) as (screen, process):
            if arguments[0] in {"orgs", "trend"}:
                await screen.shows("Acme")
            await process.wait()
        if arguments != ("status",) and arguments[0] != "gaps":
            assert "Acme" in screen.text
        assert not _OBEYED.search(screen.text)
        assert "Traceback" not in screen.text


async def test_control_characters_in_an_argument_are_escaped_in_the_error(database_url: str) -> None:
    for arguments in (
        ("trend", f"Acme{TITLE}"),
        ("trend", "--since", TITLE),
        ("trend", "--type", TITLE),
        ("orgs", "import", f"{TITLE}.csv"),
        (TITLE,),
        ("export", "--org", TITLE, "--out", TITLE),
    ):
        environ = {"POLLER_DATABASE_URL": database_url, "POLLER_SECRET_KEYS": "k1:" + "A" * 43 + "="}
        ended = await command.run(*arguments, environ=environ)
        assert ended.code == 2
        assert not _OBEYED.search(ended.out + ended.err)
