from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.store.server_health import missing_readers, read_server

if TYPE_CHECKING:
    from poller.store.database import Database


class RolledBackError(Exception):
    pass


async def test_roles_that_are_not_there_are_told_from_those_that_may_not_read(database: Database) -> None:
    assert await missing_readers(database) == ([], [])
    with pytest.raises(RolledBackError):
        async with database.transaction() as connection:
            # Roles belong to the whole server: this one is away for this transaction alone.
            await connection.execute("ALTER ROLE poller_guest RENAME TO poller_guest_who_is_away")
            await connection.execute("REVOKE SELECT ON user_counts FROM poller_reader")
            assert await missing_readers(connection) == (["poller_guest"], ["poller_reader"])
            raise RolledBackError


async def test_a_database_that_takes_no_writes_is_told(database: Database) -> None:
    facts = await read_server(database)
    assert not facts.read_only
    assert facts.version_number >= 150_000
    assert facts.bytes > 1_000_000
