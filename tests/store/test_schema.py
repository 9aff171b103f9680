from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest
import structlog
from alembic.config import Config
from alembic.script import ScriptDirectory

from poller.core.errors import DatabaseError, LockedError
from poller.store import database as databases, schema
from poller.store.schema import SchemaState
from tests.postgres import LOCKS_LEFT

if TYPE_CHECKING:
    from poller.store.database import Database


def test_the_file_names_of_migrations_give_the_same_head_as_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.migrations_folder()))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.head_revision()]


async def test_a_blank_database_has_pending_migrations_and_a_migrated_one_does_not(blank_database_url: str) -> None:
    assert await schema.check(blank_database_url) == SchemaState(None, schema.head_revision())
    before = await schema.upgrade(blank_database_url)
    assert before.behind
    after = await schema.check(blank_database_url)
    assert after == SchemaState(schema.head_revision(), schema.head_revision())
    assert not after.behind
    assert await schema.upgrade(blank_database_url) == after


async def test_concurrent_first_migrations_in_one_process_all_succeed(blank_database_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(schema.upgrade(blank_database_url))
    assert not (await schema.check(blank_database_url)).behind


def test_concurrent_first_migrations_in_several_processes_all_succeed(blank_database_url: str) -> None:
    code = "import asyncio, sys; from poller.store import schema; asyncio.run(schema.upgrade(sys.argv[1]))"
    runs = [subprocess.Popen([sys.executable, "-c", code, blank_database_url]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert not asyncio.run(schema.check(blank_database_url)).behind


async def test_connecting_to_a_database_with_pending_migrations_names_the_command_to_run(
    blank_database_url: str,
) -> None:
    with pytest.raises(DatabaseError, match=r"the database is empty, .*; run `poller migrate`"):
        await databases.connect(blank_database_url)


async def test_a_database_can_be_migrated_to_a_given_revision(blank_database_url: str) -> None:
    await schema.upgrade(blank_database_url, "0001")
    assert (await schema.check(blank_database_url)).current == "0001"


async def test_a_database_newer_than_the_code_is_left_unchanged(database: Database, database_url: str) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert (await schema.upgrade(database_url)).current == "9999"
    async with await databases.connect(database_url):
        pass


async def test_the_database_of_another_program_is_left_unchanged(database: Database, database_url: str) -> None:
    await database.execute("UPDATE alembic_version SET version_num = 'ae1027a6acf'")
    with pytest.raises(DatabaseError, match="another program lives there; give the poller a database of its own"):
        await schema.upgrade(database_url)


async def test_a_failed_migration_is_reported_in_one_line_and_releases_its_lock(blank_database_url: str) -> None:
    connection = await asyncpg.connect(blank_database_url)
    await connection.execute("CREATE TABLE orgs (id integer)")
    with pytest.raises(DatabaseError, match='"orgs" already exists') as caught:
        await schema.upgrade(blank_database_url)
    assert "\n" not in str(caught.value)
    assert "CREATE" not in str(caught.value)
    assert await connection.fetchval(LOCKS_LEFT) == 0
    await connection.execute("DROP TABLE orgs")
    await connection.close()
    await schema.upgrade(blank_database_url)


def test_checking_for_pending_migrations_does_not_import_alembic() -> None:
    code = (
        "import sys; from poller.store import database, schema; schema.head_revision();"
        "print(sorted({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


async def test_a_reader_that_blocks_a_migration_is_named_and_others_can_still_read(
    blank_database_url: str,
) -> None:
    await schema.upgrade(blank_database_url, "0004")
    reader = await asyncpg.connect(blank_database_url)
    other = await asyncpg.connect(blank_database_url)
    try:
        with structlog.testing.capture_logs() as logs:
            async with reader.transaction():
                await reader.fetch("SELECT * FROM orgs")
                upgrading = asyncio.ensure_future(schema.upgrade(blank_database_url, attempts=2))
                while not upgrading.done():
                    async with asyncio.timeout(60):
                        await other.fetch("SELECT * FROM orgs")
                    await asyncio.sleep(0.05)
                holder = f"migration 0005 has to wait: process {reader.get_server_pid()} of role poller"
                with pytest.raises(LockedError, match=holder):
                    await upgrading
        (waiting,) = [one for one in logs if one["event"] == "migration.waiting"]
        assert waiting["why"].startswith(holder)
        await schema.upgrade(blank_database_url)
    finally:
        await reader.close()
        await other.close()
