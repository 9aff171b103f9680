"""One database for all tests of a module, each of which is one transaction that is rolled back."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from poller.store import database as databases
from tests.postgres import address, copy_of, run_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from poller.store.queries import Connection


@pytest.fixture(scope="module")
def shared_url(server_dsn: str, template: str) -> Iterator[str]:
    """The address of a migrated database for the tests of one module."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(run_on(server_dsn, f'CREATE DATABASE "{name}" {copy_of(template)}'))
    yield address(server_dsn, name)
    asyncio.run(run_on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def connection(shared_url: str) -> AsyncIterator[Connection]:
    """A connection with a transaction that is rolled back after the test."""
    async with (
        await databases.connect(shared_url, max_size=1, schema_check=False) as database,
        database.connection() as opened,
    ):
        transaction = opened.transaction()
        await transaction.start()
        yield opened
        await transaction.rollback()
