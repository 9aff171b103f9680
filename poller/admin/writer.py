"""The database as pages and API change it: few connections, which polls never wait for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.store.database import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.database_clock import DatabaseClock
    from poller.store.orgs.encryption import Keyring

CONNECTIONS: Final = 2
STATEMENT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Writer:
    """A database that may be changed, and the encryption keys."""

    database: Database
    keyring: Keyring


@asynccontextmanager
async def open_writer(dsn: str, keyring: Keyring, clock: DatabaseClock) -> AsyncIterator[Writer]:
    """A writer with its own connections. `clock`: PostgreSQL's time; its owner keeps it right."""
    async with await connect(
        dsn,
        schema_check=False,
        min_size=0,
        max_size=CONNECTIONS,
        application_name="poller web writer",
        command_timeout=STATEMENT_SECONDS,
    ) as database:
        database.clock = clock
        yield Writer(database, keyring)
