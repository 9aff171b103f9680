"""Runs the command line in this process over a separate database, or as a process where that is needed."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from poller.cli import run
from poller.settings import VARIABLES
from tests import command
from tests.command import KEYS, Ended
from tests.logging_state import logging_restored
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Removes the variables and the `.env` of this machine; restores the logging afterwards."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POLLER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with logging_restored():
        yield


@pytest.fixture
def poller(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`poller("orgs", "list")` in this process."""

    def call(*arguments: str) -> Ended:
        command.know_input(arguments, os.environ)
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        WITNESS.hear(f"poller {' '.join(arguments)} (in this process)", printed.out + printed.err)
        return Ended(code, printed.out, printed.err)

    return call


@pytest.fixture
def on_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """Settings that name a migrated, empty database; its address."""
    monkeypatch.setenv("POLLER_DATABASE_URL", database_url)
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEYS)
    return database_url


@pytest.fixture
def process() -> Callable[..., Awaitable[Ended]]:
    """`await process("orgs", "list", stdin=b"…")` runs a command as a separate process."""
    return command.run


@pytest.fixture
def new_process() -> Callable[..., Awaitable[Ended]]:
    """As `process`, but in a new interpreter: nothing of the poller is loaded when it starts."""
    return partial(command.run, fresh=True)
