"""The restore steps of docs/operations.md: dump, lose the server, restore on another; the answers stay the same."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest

from poller.core.errors import CredentialError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.embedded import start
from poller.store import database as databases, schema
from poller.store.access.roles import grant_readers
from poller.store.orgs.credentials import read_credentials
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.orgs.imports import import_orgs
from poller.store.series.partitions import list_partitions
from poller.store.series.rollups import roll_up
from tests.postgres import chosen_binaries, run_on
from tests.store.everything import DAY, NOW, REMOVED, SLOTS, contents, fill
from tests.store.fleet import entry
from tests.store.series.history import (
    daily_of,
    fleet_of,
    latest_of,
    rows_of,
    shown_daily,
    shown_fleet,
    shown_latest,
    write_snapshots,
)
from tests.store.series.read_back import rollup_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.embedded import EmbeddedServer

FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
KEYRING: Final = Keyring({"k1": bytes(range(KEY_BYTES))})
LATER: Final = "9999"
"""Than any revision: everything is filled."""
ROLES: Final = tuple(f"CREATE ROLE {role} NOLOGIN" for role in ("poller_reader", "poller_guest", "poller_web"))
OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations.md"
ANSWERS: Final = {
    "user_counts": "SELECT * FROM user_counts ORDER BY org_id, slot, user_type",
    # Not its age, which is of the moment it is asked; nor gaps that were none yet when they were first asked for.
    "latest_user_counts": "SELECT org_id, org, user_type, slot, polled_at, count FROM latest_user_counts ORDER BY 1, 3",
    "daily_user_counts": "SELECT * FROM daily_user_counts ORDER BY org_id, day, user_type",
    "poll_gaps": "SELECT * FROM poll_gaps WHERE slot < now() - interval '3 hours' ORDER BY org_id, slot",
}


@contextmanager
def server() -> Iterator[EmbeddedServer]:
    """A separate machine."""
    with (
        tempfile.TemporaryDirectory(prefix="poller-restore-") as folder,
        start(Path(folder) / "data", binaries=chosen_binaries(), settings=FAST) as running,
    ):
        yield running


def program(
    running: EmbeddedServer, name: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Runs one of PostgreSQL's programs against the database."""
    command = running.psql(*arguments)
    argv = [str(running.binaries / name), *command.argv[1:]]
    return subprocess.run(argv, cwd=command.cwd, env=command.env, input=stdin, capture_output=True, check=False)


async def answers(dsn: str) -> dict[str, Any]:
    """The rows of every table and every relation."""
    connection = await asyncpg.connect(dsn)
    try:
        found: dict[str, Any] = dict(await contents(connection))
        for relation, query in ANSWERS.items():
            found[relation] = [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
    return found


@contextmanager
def restored(dump: bytes) -> Iterator[EmbeddedServer]:
    """Another machine with the dump restored as in the document."""
    with server() as fresh:
        for role in ROLES:
            made = program(fresh, "psql", "-c", role)
            assert made.returncode == 0, made.stderr.decode()
        done = program(fresh, "pg_restore", "--exit-on-error", stdin=dump)
        assert (done.returncode, done.stderr) == (0, b"")
        yield fresh


@pytest.fixture(scope="module")
def lost() -> tuple[bytes, dict[str, Any]]:
    """The dump of a lost database, and its former answers."""
    with server() as doomed:
        dsn = doomed.dsn()

        async def write() -> dict[str, Any]:
            await schema.upgrade(dsn)
            connection = await asyncpg.connect(dsn)
            try:
                await fill(connection, LATER, KEYRING)
            finally:
                await connection.close()
            return await answers(dsn)

        before = asyncio.run(write())
        dumped = program(doomed, "pg_dump", "-Fc")
        assert dumped.returncode == 0, dumped.stderr.decode()
    return dumped.stdout, before


def test_a_restored_database_gives_the_same_answers_as_the_lost_one(lost: tuple[bytes, dict[str, Any]]) -> None:
    dump, before = lost
    with restored(dump) as fresh:
        after = asyncio.run(answers(fresh.dsn()))
    assert after.keys() == before.keys()
    for name, rows in before.items():
        assert rows, f"nothing in {name}: a drill without it shows nothing"
        assert after[name] == rows, name


def test_a_restored_database_is_up_to_date_and_accepts_new_orgs_snapshots_months_and_rollups(
    lost: tuple[bytes, dict[str, Any]],
) -> None:
    async def go_on(dsn: str) -> None:
        assert not (await schema.check(dsn)).behind
        async with await databases.connect(dsn) as database:
            await import_orgs(database, KEYRING, [entry("new")])
            assert await database.fetchval("SELECT id FROM orgs WHERE name = 'new'") == 5
            months = len(await list_partitions(database))
            slots = [SLOTS[3] + timedelta(minutes=30), NOW, NOW + 70 * DAY]
            counts = dict.fromkeys(USER_TYPES, 7)
            await write_snapshots(database, [Snapshot(5, slot, slot, Outcome.OK, counts=counts) for slot in slots])
            # A failed slot becomes known, as before.
            slot = await database.fetchval(
                "SELECT min(slot) FROM org_snapshots WHERE outcome = 'unavailable' AND org_id = 1"
            )
            await write_snapshots(database, [Snapshot(1, slot, NOW, Outcome.OK, counts=counts)])
            assert len(await list_partitions(database)) > months
            for _ in range(2):
                rows = await rows_of(database)
                assert await shown_daily(database) == daily_of(rows)
                assert await shown_fleet(database) == fleet_of(daily_of(rows))
                shown = await shown_latest(database)
                assert shown == {key: value for key, value in latest_of(rows).items() if key[0] != REMOVED}
                await roll_up(database, (NOW + 80 * DAY).date())
            assert (await rollup_state(database)).dirty == 0

    with restored(lost[0]) as fresh:
        asyncio.run(go_on(fresh.dsn()))


def test_restored_credentials_can_be_decrypted_only_with_their_separately_kept_key(
    lost: tuple[bytes, dict[str, Any]],
) -> None:
    dump, _ = lost
    assert b"client-secret-1" not in dump
    assert b"refresh-token-1" not in dump

    async def read(dsn: str) -> None:
        async with await databases.connect(dsn) as database:
            credentials = await read_credentials(database, KEYRING, 1)
            assert credentials is not None
            assert credentials.client_secret.reveal() == "client-secret-1"
            with pytest.raises(CredentialError):
                await read_credentials(database, Keyring({"k1": bytes(KEY_BYTES)}), 1)

    with restored(dump) as fresh:
        asyncio.run(read(fresh.dsn()))


def test_guests_are_restricted_to_their_tags_on_the_new_server(lost: tuple[bytes, dict[str, Any]]) -> None:
    async def ask(dsn: str) -> None:
        await run_on(dsn, "CREATE ROLE north_bi LOGIN")
        await run_on(dsn, "GRANT poller_guest TO north_bi")
        async with await databases.connect(dsn) as database, database.connection() as connection:
            assert await grant_readers(database) == []
            await database.execute("UPDATE orgs SET tags = '{}' WHERE id <> 2")
            await connection.execute("SET SESSION AUTHORIZATION north_bi")
            seen = await connection.fetch("SELECT DISTINCT org_id FROM user_counts")
            assert [row[0] for row in seen] == [2]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("SELECT * FROM org_credentials")
            await connection.execute("RESET SESSION AUTHORIZATION")

    with restored(lost[0]) as fresh:
        asyncio.run(ask(fresh.dsn()))


def test_the_document_describes_the_steps_of_this_restore_test() -> None:
    text = OPERATIONS.read_text()
    for words in (*ROLES, "pg_dump", "-Fc", "pg_restore", "--exit-on-error"):
        assert words in text
