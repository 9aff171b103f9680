"""These tests run with PostgreSQL of the wheel and, if installed here, with PostgreSQL 15 of Debian."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from poller.embedded import start
from tests.embedded.lab import FAST, User, server_pid, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEBIAN_15: Final = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session", params=["wheel", "debian-15"])
def binaries(request: pytest.FixtureRequest) -> Path | None:
    """The folder of the programs; None for those of the wheel."""
    if request.param == "wheel":
        return None
    if not (DEBIAN_15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    return DEBIAN_15


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder with a short path; afterwards no server may run in data folders within it."""
    with tempfile.TemporaryDirectory(prefix="poller-embedded-") as name:
        path = Path(name)
        yield path
        for cluster in path.rglob("postgresql"):
            wait_until(lambda data_dir=cluster.parent: server_pid(data_dir) is None)  # type: ignore[misc]


@pytest.fixture(scope="session")
def made(binaries: Path | None) -> Iterator[Path]:
    """One data folder for all tests that do not need a new one, because creating one takes a second or two."""
    with tempfile.TemporaryDirectory(prefix="poller-made-") as name:
        path = Path(name) / "data"
        start(path, binaries=binaries, settings=FAST).close()
        yield path


@pytest.fixture
def data_dir(made: Path) -> Iterator[Path]:
    """A data folder with a cluster that other tests have used, and without a running server."""
    assert server_pid(made) is None
    yield made
    wait_until(lambda: server_pid(made) is None)


@pytest.fixture
def user(binaries: Path | None) -> Iterator[Callable[..., User]]:
    """Starts processes that use the server of a data folder; ends those that still run afterwards."""
    users: list[User] = []

    def begin(data_dir: Path, **options: object) -> User:
        users.append(User(data_dir, binaries, **options))  # type: ignore[arg-type]
        return users[-1]

    yield begin
    for left in users:
        left.kill()
