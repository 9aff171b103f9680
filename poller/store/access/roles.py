"""Creates the roles `poller_reader` and `poller_guest`, grants them what they need to read, and limits their logins.

The table `shared_relations` lists the relations these roles may read. This module does the rest: the roles, rights on
the schema and the database, and limits. Members of a role do not inherit its settings, so time limits are settings of
the database; the poller's own role is exempt from them. They are defaults: a session may change its own.

Statements that the poller's role may not run are returned for an administrator. The operator creates the logins; this
module never sees a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg

from poller.store.locks import Lock, lock

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.queries import Queries

CONNECTION_LIMIT: Final = 20
LIMITS: Final = {
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "1min",
    "lock_timeout": "10s",
}
"""Defaults for logins of readers and guests; a value that the operator has set stays."""


class MissingRoles(NamedTuple):
    """Statements that have not run yet: `to_read` lets the roles read, `to_limit` limits their logins."""

    to_read: list[str]
    to_limit: list[str]


async def grant_readers(database: Database) -> list[str]:
    """Creates the roles and grants them their rights; returns the roles that an administrator must create first."""
    if await database.fetchval(_GRANTED):
        return []
    # roles.grant: creates roles and grants rights; returns the roles it may not create.
    return [row[0] for row in await database.fetch("SELECT admit_readers()")]


async def set_up_readers(database: Database) -> MissingRoles:
    """Runs the statements that `grant_readers` does not; returns those that this role may not run."""
    async with database.transaction() as connection:
        await lock(connection, Lock.MIGRATIONS)
        for statements in await read_missing(connection):
            for statement in statements:
                try:
                    async with connection.transaction():
                        await connection.execute(statement)
                except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedObjectError):
                    # The read at the end finds this statement again. A login may be dropped at any moment.
                    continue
        return await read_missing(connection)


async def read_missing(queries: Queries) -> MissingRoles:
    """Returns the statements that have not run and that `grant_readers` does not run, in the order to run them."""
    rows = await queries.fetch(_MISSING, list(LIMITS), list(LIMITS.values()), CONNECTION_LIMIT)
    return MissingRoles(
        [row["statement"] for row in rows if row["to_read"]], [row["statement"] for row in rows if not row["to_read"]]
    )


async def has_logins(queries: Queries) -> bool:
    """Returns whether any login is a reader or a guest."""
    rows = await queries.fetch(_LOGINS)
    return bool(rows)


# roles.logins: one login that is a member of either role, directly or through other roles.
_LOGINS: Final = """
SELECT FROM pg_roles r
WHERE rolcanlogin AND NOT rolsuper AND rolname <> current_user AND EXISTS (
    SELECT FROM pg_roles g
    WHERE g.rolname IN ('poller_reader', 'poller_guest') AND pg_has_role(r.oid, g.oid, 'MEMBER')
)
LIMIT 1
"""

# roles.granted: whether both roles can read already. Granting again would be harmless, but it would write.
_GRANTED: Final = """
SELECT count(*) = 2 FROM pg_roles
WHERE rolname IN ('poller_reader', 'poller_guest') AND has_table_privilege(oid, 'user_counts', 'SELECT')
"""

# roles.missing: each statement that would change something. A right that PUBLIC has counts as granted. Settings that an
# operator made on a role or on the database stay. Members of members count as members.
_MISSING: Final = """
WITH RECURSIVE
readers AS (SELECT oid, rolname FROM pg_roles WHERE rolname IN ('poller_reader', 'poller_guest')),
here AS (SELECT oid, datname FROM pg_database WHERE datname = current_database()),
home AS (
    SELECT DISTINCT n.oid, n.nspname FROM shared_relations s
    JOIN pg_class c ON c.oid = to_regclass(quote_ident(s.name)) JOIN pg_namespace n ON n.oid = c.relnamespace
),
ours AS (
    SELECT oid, rolname FROM pg_roles
    WHERE rolname = current_user OR oid = (SELECT relowner FROM pg_class WHERE oid = to_regclass('poller_locks'))
),
members AS (
    SELECT m.member FROM pg_auth_members m JOIN readers r ON r.oid = m.roleid
    UNION
    SELECT m.member FROM pg_auth_members m JOIN members s ON s.member = m.roleid
),
settings AS (
    SELECT s.setdatabase, s.setrole, split_part(line, '=', 1) AS name
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS line
),
limits AS (
    SELECT l.name, l.value, l.place FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l (name, value, place)
    WHERE NOT EXISTS (
        SELECT FROM settings s, here WHERE s.setdatabase = here.oid AND s.setrole = 0 AND s.name = l.name
    )
)
SELECT true AS to_read, 1 AS step, 0 AS place,
       format('GRANT CONNECT ON DATABASE %I TO %I', datname, rolname) AS statement
FROM readers, here WHERE NOT has_database_privilege(readers.oid, here.oid, 'CONNECT')
UNION ALL
SELECT true, 2, 0, format('GRANT USAGE ON SCHEMA %I TO %I', nspname, rolname)
FROM readers, home WHERE NOT has_schema_privilege(readers.oid, home.oid, 'USAGE')
UNION ALL
SELECT true, 3, 0, format('ALTER DATABASE %I SET search_path = "$user", public, %I', datname, nspname)
FROM here, home
WHERE nspname <> 'public' AND EXISTS (SELECT FROM readers) AND NOT EXISTS (
    SELECT FROM settings s WHERE s.setdatabase = here.oid AND s.setrole = 0 AND s.name = 'search_path'
)
UNION ALL
SELECT false, 4, place, format('ALTER ROLE %I IN DATABASE %I SET %s = 0', rolname, datname, name)
FROM limits, ours, here
WHERE NOT EXISTS (
    SELECT FROM settings s WHERE s.setdatabase IN (0, here.oid) AND s.setrole = ours.oid AND s.name = limits.name
)
UNION ALL
SELECT false, 5, place, format('ALTER DATABASE %I SET %s = %L', datname, name, value) FROM limits, here
UNION ALL
SELECT false, 6, 0, format('ALTER ROLE %I CONNECTION LIMIT %s', rolname, $3::int)
FROM pg_roles
WHERE oid IN (SELECT member FROM members) AND oid NOT IN (SELECT oid FROM ours)
  AND rolcanlogin AND rolconnlimit = -1 AND NOT rolsuper
ORDER BY step, place, statement
"""
