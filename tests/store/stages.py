"""Empty databases at each revision of the schema, which the tests of upgrades fill and migrate."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from poller.store import schema
from tests.postgres import cloned, name_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


def earlier_revisions(since: str = "0001") -> list[str]:
    """Every revision from `since` except the newest."""
    files: list[Path] = sorted((schema.migrations_folder() / "versions").glob("[0-9]*.py"))
    return [file.name[:4] for file in files if since <= file.name[:4] < schema.head_revision()]


class Stages:
    """One database per revision that is asked for, migrated from the nearest earlier one of them."""

    def __init__(self, server_dsn: str) -> None:
        self._server_dsn = server_dsn
        self._names = {"0000": "template1"}
        self._databases = ExitStack()

    def at(self, revision: str) -> str:
        """The name of an empty database at `revision`, for `tests.postgres.cloned`."""
        if revision not in self._names:
            nearest = max(made for made in self._names if made < revision)
            dsn = self._databases.enter_context(cloned(self._server_dsn, self._names[nearest]))
            asyncio.run(schema.upgrade(dsn, revision))
            self._names[revision] = name_of(dsn)
        return self._names[revision]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._databases.close()
