"""Who sees what: readers see every relation and no secret, guests see only the orgs with their tags."""

from __future__ import annotations

import contextlib
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from poller.core.checks import CheckStatus
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.doctor.readers import check_locks
from poller.settings import Settings
from poller.store.access.roles import LIMITS, grant_readers, read_missing, set_up_readers
from poller.store.database import connect
from poller.store.database_clock import DatabaseClock
from poller.store.orgs.imports import import_orgs
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests import command
from tests.postgres import address, run_on, running_postgres
from tests.store.fleet import entry
from tests.store.series.history import fleet_of, shown_daily, shown_fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SLOTS = [NOW - timedelta(hours=8 * n) for n in range(12)]
TENS = {"alpha": 10, "beta": 20, "gamma": 30, "delta": 40}
TAGS = {"alpha": ["customer:a"], "beta": ["customer:a", "trial"], "gamma": ["customer:b"], "delta": []}
RELATIONS = (
    "user_counts",
    "latest_user_counts",
    "latest_org_snapshots",
    "daily_user_counts",
    "poll_gaps",
    "org_states",
)
GUARDED = (
    "org_snapshots",
    "latest_snapshots",
    "daily_counts",
    "dirty_days",
    "org_schedules",
    "latest_polls",
    "credit_spend",
)
PRIVATE = (
    "org_credentials",
    "access_tokens",
    "token_budgets",
    "pgqueuer",
    "pgqueuer_log",
    "workers",
    "chores",
    "shared_relations",
    "poller_locks",
)


@pytest.fixture
async def fleet(database: Database, keyring: Keyring) -> Database:
    """Four orgs with history that is rolled up, dirty or not rolled up, and with unpolled slots."""
    await import_orgs(database, keyring, [entry(name) for name in TENS])
    for name, tags in TAGS.items():
        await database.execute("UPDATE orgs SET tags = $2 WHERE name = $1", name, tags)
    await database.execute("UPDATE rollup_state SET rolled_until = $1", SLOTS[-1].date())
    ids = {row["name"]: row["id"] for row in await database.fetch("SELECT id, name FROM orgs")}
    batch = []
    for name, org_id in ids.items():
        for n, slot in enumerate(SLOTS):
            counts = dict.fromkeys(USER_TYPES, TENS[name] + n % 10)
            failed = Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, f"code_of_{name}")
            batch.append(failed if n == 5 else Snapshot(org_id, slot, slot, Outcome.OK, counts=counts))
    await write_snapshots(database, batch)
    await roll_up(database, (NOW - timedelta(days=1)).date())
    await write_snapshots(database, [Snapshot(i, SLOTS[-2], SLOTS[-2], Outcome.UNAVAILABLE, "x") for i in ids.values()])
    await database.execute(
        "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at) SELECT id, $1, 900, $1 FROM orgs",
        SLOTS[0] - timedelta(hours=2),
    )
    await database.execute("INSERT INTO credit_spend SELECT id, $1, 10 FROM orgs", SLOTS[0])
    await database.execute("INSERT INTO dirty_days SELECT id, $1 FROM orgs ON CONFLICT DO NOTHING", SLOTS[-1].date())
    await database.execute("DELETE FROM daily_counts WHERE day = $1", SLOTS[-1].date())
    return database


@pytest.fixture
async def login(server_dsn: str, database: Database) -> AsyncIterator[str]:
    """A login without any rights yet."""
    name = f"login_{uuid.uuid4().hex}"
    await run_on(server_dsn, f"CREATE ROLE {name} LOGIN")
    yield name
    await database.execute(f"DROP OWNED BY {name}")
    await run_on(server_dsn, f"DROP ROLE {name}")


@contextlib.asynccontextmanager
async def logged_in(database: Database, login: str) -> AsyncIterator[Any]:
    """A connection with only the rights of this login; all its changes are rolled back."""
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"SET LOCAL SESSION AUTHORIZATION {login}")
            yield connection
        finally:
            await transaction.rollback()


async def admit(database: Database, login: str, *tags: str, role: str = "poller_guest") -> None:
    await database.execute(f"GRANT {role} TO {login}")
    for tag in tags:
        await database.execute("INSERT INTO guest_tags (login, tag) VALUES ($1, $2)", login, tag)


async def orgs_in(connection: Any, relation: str) -> set[str]:
    return {row[0] for row in await connection.fetch(f"SELECT DISTINCT org FROM {relation}")}


async def seen(connection: Any) -> dict[str, set[str]]:
    """The orgs visible in every relation, by every kind of query."""
    found = {relation: await orgs_in(connection, relation) for relation in RELATIONS}
    for table in GUARDED:
        rows = await connection.fetch(f"SELECT DISTINCT o.name FROM {table} t LEFT JOIN orgs o ON o.id = t.org_id")
        found[table] = {row[0] for row in rows}
    found["orgs"] = {row[0] for row in await connection.fetch("SELECT name FROM orgs")}
    return found


async def all_ids(database: Database) -> dict[str, int]:
    return {row["name"]: row["id"] for row in await database.fetch("SELECT id, name FROM orgs")}


async def refused(connection: Any, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with connection.transaction():
            await connection.execute(statement)


async def test_a_reader_sees_every_org_in_every_relation(fleet: Database, login: str) -> None:
    await admit(fleet, login, role="poller_reader")
    async with logged_in(fleet, login) as connection:
        found = await seen(connection)
    assert all(orgs == set(TENS) for orgs in found.values()), found


@pytest.mark.parametrize("role", ["poller_reader", "poller_guest"])
async def test_a_reader_sees_no_credential_token_key_or_queue_and_cannot_write(
    fleet: Database, login: str, role: str
) -> None:
    await admit(fleet, login, "customer:a", role=role)
    tables = {row[0] for row in await fleet.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    months = {table for table in tables if table.startswith("org_snapshots_")}
    assert months
    assert tables >= set(PRIVATE)
    async with logged_in(fleet, login) as connection:
        for table in (*PRIVATE, *months):
            await refused(connection, f"SELECT FROM {table}")
        for columns in ("*", "zgid", "parked_remedy", "removed_fingerprint"):
            await refused(connection, f"SELECT {columns} FROM orgs")
        await refused(connection, "SELECT credits_remaining FROM org_limits")
        for table in tables:
            await refused(connection, f"DELETE FROM {table}")
        await refused(connection, "INSERT INTO guest_tags VALUES (current_user, 'customer:b')")
        await refused(connection, "UPDATE orgs SET tags = '{customer:a}'")
        await refused(connection, "CREATE TABLE mine (id integer)")
        await refused(connection, "SELECT admit_readers()")


@pytest.mark.parametrize(
    ("tags", "orgs"),
    [
        (["customer:a"], {"alpha", "beta"}),
        (["customer:b"], {"gamma"}),
        (["trial", "customer:b"], {"beta", "gamma"}),
        (["customer"], set()),
        ([], set()),
    ],
)
async def test_a_guest_sees_only_orgs_with_its_tags_in_every_relation(
    fleet: Database, login: str, tags: list[str], orgs: set[str]
) -> None:
    await admit(fleet, login, *tags)
    await fleet.execute(
        "INSERT INTO guest_tags VALUES ('somebody_else', 'customer:a'), ('somebody_else', 'customer:b')"
    )
    async with logged_in(fleet, login) as connection:
        found = await seen(connection)
        bound = await connection.fetch("SELECT login, tag FROM guest_tags")
    assert all(visible == orgs for visible in found.values()), found
    assert {tuple(row) for row in bound} == {(login, tag) for tag in tags}


async def test_a_guest_sees_its_orgs_exactly_as_a_reader_does(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:a")
    of_its_orgs = "WHERE org IN ('alpha', 'beta')"
    columns = {
        "user_counts": "*",
        # Its age differs from one transaction to the next.
        "latest_user_counts": "org_id, org, user_type, slot, polled_at, count",
        "latest_org_snapshots": "*",
        "daily_user_counts": "*",
        "poll_gaps": "*",
    }
    async with logged_in(fleet, login) as connection:
        for relation, names in columns.items():
            mine = await connection.fetch(f"SELECT {names} FROM {relation} ORDER BY 1, 2, 3, 4")
            all_of_them = await fleet.fetch(f"SELECT {names} FROM {relation} {of_its_orgs} ORDER BY 1, 2, 3, 4")
            assert mine == all_of_them != [], relation


async def test_the_sums_shown_to_a_guest_are_those_of_its_orgs(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:a")
    everything = fleet_of(await shown_daily(fleet))
    assert await shown_fleet(fleet) == everything
    assert await fleet.fetchval("SELECT count(*) FROM fleet_days") > 0
    async with logged_in(fleet, login) as connection:
        mine = fleet_of(await shown_daily(connection))
        assert await shown_fleet(connection) == mine
        assert await connection.fetchval("SELECT count(*) FROM fleet_days") == 0
    assert mine.keys() == everything.keys()
    assert all(mine[key] != everything[key] for key in mine)


async def test_functions_show_a_guest_nothing_of_other_orgs(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:b")
    ids = await all_ids(fleet)
    async with logged_in(fleet, login) as connection:
        for name, org_id in ids.items():
            days = await connection.fetch("SELECT * FROM counts_of_day($1, $2, 1)", org_id, SLOTS[3].date())
            assert bool(days) == (name == "gamma")
        others = await connection.fetch(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
            " AND has_function_privilege(oid, 'EXECUTE')"
        )
    assert others == [], "a function that runs with its owner's rights sees every org"


async def test_a_function_written_by_a_guest_does_not_receive_rows_of_other_orgs(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:b")
    told: list[str] = []
    async with logged_in(fleet, login) as connection:
        connection.add_log_listener(lambda _, message: told.append(message.message))
        await connection.execute(
            "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$"
            " BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        await connection.fetch("SELECT FROM org_snapshots WHERE pg_temp.tell(all_users::text)")
        await connection.fetch("SELECT FROM poll_gaps WHERE pg_temp.tell(reason)")
        await connection.fetch("SELECT FROM orgs WHERE pg_temp.tell(name)")
        connection._log_listeners.clear()
    assert {"gamma", "unavailable: code_of_gamma"} < set(told)
    assert not [line for line in told if line in TENS and line != "gamma"]
    assert not [line for line in told if "code_of_" in line and "gamma" not in line]
    assert all(30 <= int(line) < 40 for line in told if line.isdecimal())


async def test_the_statistics_of_the_planner_show_a_guest_nothing(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:b")
    await fleet.execute("ANALYZE")
    about = "SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename LIKE ANY ('{org%,latest%,daily%}')"
    assert await fleet.fetchval(about) > 0
    async with logged_in(fleet, login) as connection:
        assert await connection.fetchval(about) == 0


async def test_adding_or_removing_a_tag_takes_effect_at_once(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:b")
    await fleet.execute("UPDATE orgs SET tags = tags || '{customer:b}' WHERE name = 'delta'")
    async with logged_in(fleet, login) as connection:
        assert await orgs_in(connection, "user_counts") == {"gamma", "delta"}
    await fleet.execute("DELETE FROM guest_tags WHERE login = $1", login)
    async with logged_in(fleet, login) as connection:
        assert await orgs_in(connection, "user_counts") == set()


async def test_tags_can_be_granted_to_a_role_shared_by_several_logins(
    fleet: Database, login: str, server_dsn: str
) -> None:
    group = f"group_{login}"
    await run_on(server_dsn, f"CREATE ROLE {group}")
    try:
        await admit(fleet, login)
        await admit(fleet, group, "customer:b")
        await fleet.execute(f"GRANT {group} TO {login}")
        async with logged_in(fleet, login) as connection:
            assert await orgs_in(connection, "latest_user_counts") == {"gamma"}
    finally:
        await run_on(server_dsn, f"DROP ROLE {group}")


async def test_a_guest_that_is_a_reader_too_stays_a_guest(fleet: Database, login: str) -> None:
    await admit(fleet, login, role="poller_reader")
    await admit(fleet, login, "customer:b")
    async with logged_in(fleet, login) as connection:
        assert await orgs_in(connection, "user_counts") == {"gamma"}


async def test_guests_can_read_the_relations_of_readers_and_each_of_these_tables_has_row_security(
    fleet: Database,
) -> None:
    relations = await fleet.fetch(
        "SELECT relname, relkind::text AS kind, relrowsecurity AS guarded,"
        " 'security_invoker=true' = ANY (coalesce(reloptions, '{}')) AS by_invoker,"
        " EXISTS (SELECT FROM pg_attribute WHERE attrelid = oid AND attname = 'org_id') OR relname = 'orgs' AS by_org,"
        " EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'guests' AND NOT polpermissive) AS held,"
        " has_any_column_privilege('poller_guest', oid, 'SELECT') AS guest,"
        " has_any_column_privilege('poller_reader', oid, 'SELECT') AS reader"
        " FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    )
    assert {row["relname"] for row in relations if row["guest"]} >= {*RELATIONS, "org_snapshots", "orgs"}
    for row in relations:
        assert row["guest"] == row["reader"], row["relname"]
        if row["guest"] and row["kind"] == "v":
            assert row["by_invoker"], f"{row['relname']} shows its owner's rows to guests"
        elif row["guest"] and row["by_org"]:
            assert row["guarded"] and row["held"], f"{row['relname']} shows every org to guests"  # noqa: PT018
    unguarded = {row["relname"] for row in relations if row["guest"] and row["kind"] != "v" and not row["guarded"]}
    assert unguarded == {"rollup_state", "unsummed_days", "service_settings"}


async def test_roles_that_are_not_guests_are_not_restricted_by_tags(fleet: Database, login: str) -> None:
    await fleet.execute(f"GRANT SELECT, INSERT, UPDATE ON org_snapshots TO {login}")
    async with logged_in(fleet, login) as connection:
        assert await connection.fetchval("SELECT count(DISTINCT org_id) FROM org_snapshots") == len(TENS)
        assert await connection.execute("UPDATE org_snapshots SET requests = 1 WHERE org_id = 1") == "UPDATE 12"


async def test_a_query_of_a_guest_about_one_org_reads_no_other_org(fleet: Database, login: str) -> None:
    await admit(fleet, login, "customer:b")
    async with logged_in(fleet, login) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch("EXPLAIN SELECT slot, all_users FROM org_snapshots WHERE slot >= $1", SLOTS[3])
        text = "\n".join(row[0] for row in plan)
    assert "Index Cond: ((org_id = ANY (" in text
    assert "Bitmap Index Scan on orgs_tags_idx" in text


async def test_if_the_poller_cannot_create_roles_it_grants_rights_to_roles_made_by_an_administrator(
    keyring: Keyring,
) -> None:
    with running_postgres() as boss:
        await run_on(boss, "CREATE ROLE modest LOGIN")
        await run_on(boss, "CREATE DATABASE modest OWNER modest")
        dsn = address(boss, "modest").replace("://poller@", "://modest@")
        environ = {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="}
        migrated = await command.run("migrate", environ=environ)
        assert migrated.code == 0, migrated.err
        statements = "CREATE ROLE poller_reader; CREATE ROLE poller_guest;"
        assert f"have an administrator run `{statements}`, then `poller migrate` again." in migrated.err
        async with await connect(dsn) as database:
            assert await grant_readers(database) == ["poller_reader", "poller_guest"]
            assert await database.fetchval("SELECT count(*) FROM pg_policy") == 0
        for statement in (*statements.split("; "), "CREATE ROLE poller_web NOLOGIN", "GRANT poller_web TO modest"):
            await run_on(boss, statement)
        again = await command.run("migrate", environ=environ)
        assert (again.code, "administrator" in again.err) == (0, False)
        async with await connect(dsn) as database:
            assert await grant_readers(database) == []
            await import_orgs(database, keyring, [entry("alpha")])
        async with await connect(address(boss, "modest")) as database, logged_in(database, "modest") as connection:
            assert await connection.fetchval("SELECT count(*) FROM orgs") == 1
        for role, orgs in (("poller_reader", 1), ("poller_guest", 0)):
            async with await connect(address(boss, "modest")) as database, logged_in(database, role) as connection:
                assert await connection.fetchval("SELECT count(*) FROM orgs") == orgs


async def run_all(dsn: str, statements: list[str]) -> None:
    for statement in statements:
        await run_on(dsn, statement)


HARDENED = [
    "REVOKE CONNECT, TEMPORARY ON DATABASE hard FROM PUBLIC",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "DROP SCHEMA public",
    "CREATE SCHEMA modest AUTHORIZATION modest",
]


@pytest.mark.parametrize("owns_database", [True, False])
async def test_in_a_hardened_database_migrate_prints_the_statements_that_readers_still_need(
    keyring: Keyring, *, owns_database: bool
) -> None:
    with running_postgres() as boss:
        await run_all(
            boss,
            [
                "CREATE ROLE modest LOGIN",
                "CREATE ROLE poller_reader",
                "CREATE ROLE poller_guest",
                "CREATE ROLE poller_web ROLE modest",
                "CREATE ROLE grafana LOGIN IN ROLE poller_reader",
                f"CREATE DATABASE hard OWNER {'modest' if owns_database else 'poller'}",
            ],
        )
        hard = address(boss, "hard")
        await run_all(hard, [*HARDENED, "GRANT CONNECT ON DATABASE hard TO modest"])
        dsn = hard.replace("://poller@", "://modest@")
        migrated = await command.run("migrate", environ=environ_of(dsn))
        assert migrated.code == 0, migrated.err
        advised = [line.split("`")[1].rstrip(";").split("; ") for line in migrated.err.splitlines() if "run `" in line]
        if owns_database:
            # A login's own limit is not the owner's to set.
            assert advised == [["ALTER ROLE grafana CONNECTION LIMIT 20"]]
        for statements in advised:
            await run_all(hard, statements)
        async with await connect(dsn) as database:
            await import_orgs(database, keyring, [entry("alpha")])
            assert await read_missing(database) == ([], [])
            assert await database.fetchval("SHOW statement_timeout") == "0"
        grafana = await asyncpg.connect(hard, user="grafana")
        try:
            assert await grafana.fetchval("SELECT count(id) FROM orgs") == 1
            assert await grafana.fetchval("SELECT count(*) FROM user_counts") == 0
            for name, value in LIMITS.items():
                assert await grafana.fetchval(f"SHOW {name}") == value
        finally:
            await grafana.close()
        again = await command.run("migrate", environ=environ_of(dsn))
        assert "administrator" not in again.err


async def test_the_doctor_says_which_grant_a_reader_lacks(database: Database, database_url: str) -> None:
    await grant_readers(database)
    await set_up_readers(database)
    await database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    await database.execute("REVOKE USAGE ON SCHEMA public FROM poller_reader")
    told = await command.run("doctor", environ=environ_of(database_url))
    missing = "GRANT USAGE ON SCHEMA public TO poller_guest; GRANT USAGE ON SCHEMA public TO poller_reader"
    assert f"have an administrator run `{missing};`" in told.out


async def test_a_connection_limit_set_by_the_operator_is_kept(database: Database, login: str) -> None:
    await admit(database, login, role="poller_reader")
    name = await database.fetchval("SELECT quote_ident(current_database())")
    await database.execute(f"ALTER DATABASE {name} SET statement_timeout = '7s'")
    await database.execute(f"ALTER ROLE {login} CONNECTION LIMIT 3")
    assert await set_up_readers(database) == ([], [])
    settings = await database.fetchval(
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE setrole = 0 AND datname = current_database()"
    )
    assert "statement_timeout=7s" in settings
    assert "lock_timeout=10s" in settings
    assert await database.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", login) == 3


async def test_a_login_of_a_member_role_gets_a_connection_limit_too(
    database: Database, login: str, server_dsn: str
) -> None:
    group = f"group_{login}"
    await run_on(server_dsn, f"CREATE ROLE {group} IN ROLE poller_guest")
    try:
        await database.execute(f"GRANT {group} TO {login}")
        await set_up_readers(database)
        assert await database.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", login) == 20
    finally:
        await run_on(server_dsn, f"DROP ROLE {group}")


async def test_the_doctor_names_the_session_of_a_reader_that_keeps_a_transaction_open() -> None:
    with running_postgres() as boss:
        # A poller that is no superuser may not see when another's transaction began.
        await run_all(boss, ["CREATE ROLE modest LOGIN", "CREATE DATABASE modest OWNER modest"])
        await run_all(boss, ["CREATE ROLE poller_reader", "CREATE ROLE poller_guest"])
        await run_on(boss, "CREATE ROLE grafana LOGIN IN ROLE poller_reader")
        dsn = address(boss, "modest").replace("://poller@", "://modest@")
        assert (await command.run("migrate", environ=environ_of(dsn))).code == 0
        reader = await asyncpg.connect(address(boss, "modest"), user="grafana")
        try:
            async with reader.transaction():
                await reader.fetch("SELECT * FROM org_snapshots")
                told = await command.run("doctor", environ=environ_of(dsn))
            assert f"process {reader.get_server_pid()} of role grafana, keeps months from being dropped" in told.out
            assert f"SELECT pg_terminate_backend({reader.get_server_pid()})" in told.out
            told = await command.run("doctor", environ=environ_of(dsn))
            assert "no other session holds up the poller" in told.out
        finally:
            await reader.close()


@pytest.mark.parametrize(("seconds", "named"), [(5, False), (15, True)])
async def test_the_doctor_names_a_session_of_any_role_that_holds_a_lock_of_the_poller_for_too_long(
    database: Database, database_url: str, seconds: int, *, named: bool
) -> None:
    holder = await asyncpg.connect(database_url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM poller_locks WHERE name = 'months' FOR UPDATE")
            database.clock = DatabaseClock(wall=lambda: time.time() + seconds)
            found = await check_locks(Settings(), database)
        assert found.status is (CheckStatus.WARNING if named else CheckStatus.OK)
        assert found.what.startswith(f"process {holder.get_server_pid()} of role poller") is named
        assert (f"pg_terminate_backend({holder.get_server_pid()})" in found.remedy) is named
    finally:
        await holder.close()


def environ_of(dsn: str) -> dict[str, str]:
    return {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="}
