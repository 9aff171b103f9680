"""The database as a caller with tags sees it: PostgreSQL hides the rows of all other orgs.

Each read-only transaction takes the role `poller_web` and sets the tags. Row-level security then applies to every
table, in every query. This is the second wall: queries filter by tag themselves.

The role and its rights are made by `admit_web` in the database. Where an administrator has not let the poller's role
take it, transactions go on without it, and `poller doctor` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.read_only import STATEMENT_SECONDS, ReadOnlyDatabase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database
    from poller.store.queries import Connection, Queries


class ScopedDatabase(ReadOnlyDatabase):
    """A `ReadOnlyDatabase` whose transactions see only orgs with one of `tags`."""

    tags: Sequence[str] = ()

    async def _begin(self, connection: Connection) -> None:
        await connection.execute(_TAKE_ROLE, f"{1_000 * STATEMENT_SECONDS:.0f}", list(self.tags))


def scoped(database: Database, tags: Sequence[str]) -> Database:
    """The database as a caller with these tags sees it, over the same connections."""
    seen = database.same_pool(ScopedDatabase)
    seen.tags = tuple(tags)
    return seen


async def admit_web(database: Database) -> list[str]:
    """Creates the role and grants its rights; returns the statements that an administrator must run instead."""
    if not await missing_role(database):
        return []
    # scoped.admit
    return [row[0] for row in await database.fetch("SELECT admit_web()")]


async def missing_role(queries: Queries) -> bool:
    """Whether the second wall is missing: the role does not exist, may not read, or may not be taken."""
    # scoped.wall
    return not (await queries.fetch(f"SELECT {_WALL_STANDS}"))[0][0]


# scoped.wall_stands: rights and policies are made in one transaction, so the right to read one view stands for all.
_WALL_STANDS: Final = """
may_be_web() AND EXISTS (
    SELECT FROM pg_roles WHERE rolname = 'poller_web' AND has_table_privilege(oid, 'org_states', 'SELECT')
)
"""

# scoped.take_role: in the order of the columns, since the role may not see what comes after it. Every setting ends with
# the transaction. "$user" in the search path would mean the new role, so the path is written out.
_TAKE_ROLE: Final = f"""
SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true),
       set_config('poller.tags', $2::text[]::text, true),
       set_config('search_path', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) s), true),
       CASE WHEN {_WALL_STANDS} THEN set_config('role', 'poller_web', true) END
"""  # noqa: S608 - it stands above
