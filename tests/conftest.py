"""What every test may ask for: a database of its own, cloned from a template that was migrated once.

What the tests print on the way is remembered, and searched for secrets when they are over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings

from poller.store import database as databases, schema
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests.postgres import address, copy_of, run_on, running_postgres
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from poller.store.database import Database


TESTS: Final = Path(__file__).parent

# A clone's first run makes Hypothesis's table of all characters, seconds long on a busy machine; and there an example
# may take any time. Neither is the fault of the test it happens in.
settings.register_profile("house", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("house")

# A shell makes what it starts in the background ignore Ctrl-C. Processes that the tests start would inherit that, and
# one that a test interrupts would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG_FIRST: Final = ("acceptance", "breakage", "chaos", "worker", "embedded", "web", "store", "cli", ".")
"""The folders whose files take longest, most of it waiting. A long file that begins last keeps all the others waiting;
`make test` hands the files out in this order, and the short ones fill what is left."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""

    def place(item: pytest.Item) -> int:
        folder = str(item.path.parent.relative_to(TESTS)).partition(os.sep)[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=place)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, text in report.sections:
        WITNESS.hear(f"{report.nodeid} ({name})", text)


@pytest.fixture(scope="session", autouse=True)
def nothing_the_whole_suite_printed_or_logged_holds_a_secret() -> Iterator[None]:
    """Judged when every test of this process is over, and an error of the last of them if it does not hold."""
    yield
    leaks = WITNESS.leaks()
    assert leaks == [], "\n".join(leaks)


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The address of a server's `postgres` database, with the right to create databases."""
    given = os.environ.get("POLLER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with running_postgres() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server_dsn: str) -> Iterator[str]:
    """The name of a migrated, empty database nobody is connected to."""
    name = f"template_{uuid.uuid4().hex}"
    asyncio.run(run_on(server_dsn, f'CREATE DATABASE "{name}"'))
    asyncio.run(schema.upgrade(address(server_dsn, name)))
    yield name
    asyncio.run(run_on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def database_url(server_dsn: str, template: str) -> AsyncIterator[str]:
    """The address of a migrated, empty database."""
    async for dsn in _fresh(server_dsn, copy_of(template)):
        yield dsn


@pytest.fixture
async def blank_database_url(server_dsn: str) -> AsyncIterator[str]:
    """The address of a database nothing has been done to."""
    async for dsn in _fresh(server_dsn, copy_of("template1")):
        yield dsn


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool over a migrated, empty database."""
    async with await databases.connect(database_url) as opened:
        yield opened


@pytest.fixture
def keyring() -> Keyring:
    """A keyring of one key."""
    return Keyring({"k1": bytes(range(KEY_BYTES))})


async def _fresh(server_dsn: str, options: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await run_on(server_dsn, f'CREATE DATABASE "{name}" {options}')
    yield address(server_dsn, name)
    await run_on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')
