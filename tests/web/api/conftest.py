"""The fleet that the tests of a module of the API share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.postgres import cloned
from tests.web.api.fleet import Client, client_of, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@dataclass
class SharedFleet:
    """The address of a filled database, and the ids of its orgs by name."""

    database_url: str
    ids: dict[str, int]


@pytest.fixture(scope="module")
def fleet(server_dsn: str, template: str) -> Iterator[SharedFleet]:
    """A filled database; no test of the module changes it."""
    with cloned(server_dsn, template) as database_url:
        yield SharedFleet(database_url, fill(database_url))


@pytest.fixture
async def api(fleet: SharedFleet) -> AsyncIterator[Client]:
    """A client of the API over the shared fleet."""
    async with client_of(fleet.database_url) as client:
        yield client
