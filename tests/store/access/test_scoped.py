"""What PostgreSQL itself shows to a caller with tags, whatever a query asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.callers import Caller
from poller.core.errors import DatabaseError
from poller.query.reader import Reader
from poller.store.access.scoped import missing_role
from poller.store.database import connect
from poller.store.read_only import connect_read_only
from tests import command
from tests.pgbouncer import needs_pgbouncer, running_pgbouncer
from tests.postgres import address, run_on, running_postgres
from tests.store.everything import fill

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NORTH = Caller("north", tags=("customer:north",))
LONELY = Caller("one org", tags=("2",))
"""In `tests.store.everything` each org has its number as a tag."""
LATER = "9999"

WITH_ORGS = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND (c.relname = 'orgs' OR EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'org_id' AND NOT attisdropped))
  AND has_any_column_privilege('poller_web', c.oid, 'SELECT')
"""
SECRET = ("org_credentials", "access_keys", "web_sessions", "token_budgets", "idempotency_keys", "guest_tags")
TOTALS = ("fleet_days", "fleet_daily_user_counts")


@pytest.fixture
async def filled(database: Database, keyring: Keyring) -> Database:
    """Rows in every table, of four orgs."""
    async with database.connection() as connection:
        await fill(connection, LATER, keyring)
    return database


async def orgs_in(database: Database, relation: str) -> set[int]:
    column = "id" if relation == "orgs" else "org_id"
    return {row[0] for row in await database.fetch(f"SELECT DISTINCT {column} FROM {relation}")} - {None}


async def test_every_relation_that_names_an_org_shows_only_the_orgs_of_the_tag(
    filled: Database, database_url: str
) -> None:
    relations = [row[0] for row in await filled.fetch(WITH_ORGS)]
    assert len(relations) >= 24
    async with await connect_read_only(database_url) as opened:
        reader = Reader(opened)
        everything = {name: await orgs_in(reader.database, name) for name in relations}
        for name in relations:
            assert await orgs_in(reader.seen_by(LONELY), name) == everything[name] & {2}, name
            assert await orgs_in(reader.seen_by(NORTH), name) == everything[name] & {1, 2, 3, 4}, name
            assert await orgs_in(reader.seen_by(Caller("nobody's", tags=("none",))), name) == set(), name
    assert sum(len(ids) > 1 for ids in everything.values()) >= 12


async def test_a_table_that_names_orgs_is_either_guarded_or_not_readable(filled: Database) -> None:
    unguarded = await filled.fetch(f"""
        SELECT r.relname FROM ({WITH_ORGS}) r JOIN pg_class c ON c.oid = r.relname::text::regclass
        WHERE CASE WHEN c.relkind = 'v' THEN NOT 'security_invoker=true' = ANY (c.reloptions)
                   ELSE NOT c.relrowsecurity OR NOT EXISTS (
                       SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'web' AND NOT polpermissive) END
    """)
    assert unguarded == []


async def test_no_secret_and_no_sum_over_all_orgs_is_readable(filled: Database, database_url: str) -> None:
    async with await connect_read_only(database_url) as opened:
        seen = Reader(opened).seen_by(NORTH)
        for name in (*SECRET, *TOTALS):
            with pytest.raises(DatabaseError, match="permission denied"):
                await seen.fetch(f"SELECT * FROM {name}")
        for columns in ("token", "*"):
            with pytest.raises(DatabaseError, match="permission denied"):
                await seen.fetch(f"SELECT {columns} FROM access_tokens")
        with pytest.raises(DatabaseError, match="permission denied"):
            await seen.fetch("SELECT removed_fingerprint FROM orgs")


async def test_jobs_of_other_orgs_are_hidden(filled: Database, database_url: str) -> None:
    await filled.execute("DELETE FROM pgqueuer")
    for org_id in (1, 2, 2):
        await filled.execute(
            "INSERT INTO pgqueuer (priority, status, entrypoint, dedupe_key) VALUES (1, 'queued', 'poll', $1)",
            f"{org_id}:{datetime.now(UTC).timestamp()}",
        )
    await filled.execute(
        "INSERT INTO pgqueuer (priority, status, entrypoint, dedupe_key) VALUES (1, 'queued', 'chore', 'chore:rollup')"
    )
    async with await connect_read_only(database_url) as opened:
        rows = await Reader(opened).seen_by(LONELY).fetch("SELECT entrypoint, count(*) FROM pgqueuer GROUP BY 1")
    assert {row[0]: row[1] for row in rows} == {"poll": 2, "chore": 1}


async def test_the_role_and_the_tags_end_with_the_transaction(filled: Database, database_url: str) -> None:
    state = "SELECT current_user::text, coalesce(current_setting('poller.tags', true), '')"
    async with await connect_read_only(database_url) as opened:
        reader = Reader(opened)
        before: Any = await reader.database.fetchrow(state)
        seen: Any = await reader.seen_by(LONELY).fetchrow(state)
        after: Any = await reader.database.fetchrow(state)
        with pytest.raises(DatabaseError, match="read-only transaction"):
            await reader.seen_by(LONELY).execute("CREATE TEMPORARY TABLE mine (id integer)")
    assert tuple(seen) == ("poller_web", "{2}")
    assert tuple(after) == tuple(before)
    assert before[0] != "poller_web"


@needs_pgbouncer
async def test_a_pooler_in_transaction_mode_gives_no_caller_the_tags_of_another(
    filled: Database, database_url: str
) -> None:
    with running_pgbouncer(database_url, pool_mode="transaction", default_pool_size=1) as pooled:
        async with await connect_read_only(pooled) as opened:
            assert opened.pooled
            reader = Reader(opened)
            for _ in range(3):
                assert await orgs_in(reader.seen_by(LONELY), "org_states") == {2}
                assert await orgs_in(reader.database, "org_states") == {1, 2, 3, 4}
                assert await orgs_in(reader.seen_by(Caller("first", tags=("1",))), "orgs") == {1}


async def test_without_the_right_to_take_the_role_queries_still_run_and_doctor_and_migrate_say_what_to_do() -> None:
    with running_postgres() as boss:
        await run_on(boss, "CREATE ROLE modest LOGIN")
        await run_on(boss, "CREATE DATABASE modest OWNER modest")
        # A schema found only as "$user", which means another one after the role has changed.
        for statement in ("DROP SCHEMA public", "CREATE SCHEMA modest AUTHORIZATION modest"):
            await run_on(address(boss, "modest"), statement)
        dsn = address(boss, "modest").replace("://poller@", "://modest@")
        environ = {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="}
        migrated = await command.run("migrate", environ=environ)
        (line,) = [line for line in migrated.err.splitlines() if "poller_web" in line]
        statements = line.split("`")[1].rstrip(";").split("; ")
        async with await connect_read_only(dsn) as opened:
            assert await missing_role(opened)
            assert await Reader(opened).seen_by(LONELY).fetch("SELECT * FROM org_states") == []
        examined = await command.run("doctor", environ=environ)
        assert "CREATE ROLE poller_web NOLOGIN; GRANT poller_web TO modest;" in examined.out
        for statement in statements:
            await run_on(boss, statement)
        again = await command.run("migrate", environ=environ)
        assert "poller_web" not in again.err
        async with await connect(dsn) as database:
            assert not await missing_role(database)
            await database.execute(
                "INSERT INTO orgs (name, data_center, tags) VALUES ('a', 'eu', '{1}'), ('b', 'eu', '{2}')"
            )
        async with await connect_read_only(dsn) as opened:
            rows = await Reader(opened).seen_by(LONELY).fetch("SELECT org FROM org_states")
            assert [row[0] for row in rows] == ["b"]
