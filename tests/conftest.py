"""Fixtures for every test: a separate database, cloned from a template that is migrated once.

The output of the tests is recorded, and searched for secrets at the end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import uuid
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings

from poller.store import database as databases, schema
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests.memory import files_in_memory
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

WAITING: Final = ("acceptance", "breakage", "chaos", "worker", "embedded")
COMPUTING: Final = ("browser", "web", "store", ".", "cli")
"""The folders whose files take longest, and what they do meanwhile. `make test` starts a file of each kind in turn, so
that the processor is never idle while all wait; the short files of other folders fill the end of the run."""


_FILES: Final = ExitStack()


def pytest_configure() -> None:
    """Keeps the files of tests in memory where there is room; the processes of `make test` share the folder."""
    _FILES.enter_context(files_in_memory())


def pytest_unconfigure() -> None:
    _FILES.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Collects without searching for garbage; modules and tests stay until the end, so they are never searched."""
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs files that wait and files that compute in turn, and short files last."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)

    def of(folders: tuple[str, ...]) -> list[Path]:
        return sorted(
            (path for path in files if _folder(path) in folders), key=lambda path: folders.index(_folder(path))
        )

    in_turn = [path for pair in zip_longest(of(WAITING), of(COMPUTING)) for path in pair if path is not None]
    items[:] = [item for path in dict.fromkeys((*in_turn, *files)) for item in files[path]]


def _folder(path: Path) -> str:
    return str(path.parent.relative_to(TESTS)).partition(os.sep)[0]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, text in report.sections:
        WITNESS.hear(f"{report.nodeid} ({name})", text)


@pytest.fixture(scope="session", autouse=True)
def nothing_the_whole_suite_printed_or_logged_holds_a_secret() -> Iterator[None]:
    """Checked after the last test of this process; a leak is an error of this last test."""
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
    """The name of a migrated, empty database without connections."""
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
    """The address of a new database without any tables."""
    async for dsn in _fresh(server_dsn, copy_of("template1")):
        yield dsn


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool over a migrated, empty database."""
    async with await databases.connect(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    """A keyring of one key."""
    return Keyring({"k1": bytes(range(KEY_BYTES))})


async def _fresh(server_dsn: str, options: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await run_on(server_dsn, f'CREATE DATABASE "{name}" {options}')
    yield address(server_dsn, name)
    await run_on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')
