from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.store.server_health import missing_readers, read_server

if TYPE_CHECKING:
    from poller.store.database import Database


class RolledBackError(Exception):
    pass


async def test_missing_roles_are_distinguished_from_roles_without_read_access(database: Database) -> None:
    assert await missing_readers(database) == ([], [])
    with pytest.raises(RolledBackError):
        async with database.transaction() as connection:
            # Roles belong to the whole server: this one is away for this transaction alone.
            await connection.execute("ALTER ROLE poller_guest RENAME TO poller_guest_who_is_away")
            await connection.execute("REVOKE SELECT ON user_counts FROM poller_reader")
            assert await missing_readers(connection) == (["poller_guest"], ["poller_reader"])
            raise RolledBackError


async def test_a_read_only_database_is_reported(database: Database) -> None:
    facts = await read_server(database)
    assert not facts.read_only
    assert facts.version_number >= 150_000
    assert facts.bytes > 1_000_000
