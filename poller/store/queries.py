"""The protocol of everything that runs SQL statements, for functions that work inside and outside a transaction."""

from __future__ import annotations

from typing import Any, Protocol


class Queries(Protocol):
    """Runs single statements: a `Database`, or a connection inside the caller's transaction."""

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Returns every row."""

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs the statement and returns PostgreSQL's command tag, `UPDATE 1`."""
