"""The same readings in Parquet, in the long form, for DuckDB to be asked the same questions.

Sorted by type, org and time and without time zones, the way that suits it best; one thread, for PostgreSQL has one.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import duckdb

from benchmarks.questions import QUESTIONS
from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.questions import At
    from poller.store.database import Database

_LONG: Final = f"""
COPY (
    SELECT org_id, user_type, slot, count
    FROM (FROM read_csv('{{wide}}', header = true, columns = {{columns}}))
    UNPIVOT INCLUDE NULLS (count FOR user_type IN ({", ".join(kind.value for kind in COLUMNS)}))
    ORDER BY user_type, org_id, slot
) TO '{{long}}' (FORMAT parquet, COMPRESSION zstd)
"""


class Parquet:
    """What `org_snapshots` holds, in a file of `folder`, and DuckDB's answers from it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "long.parquet"
        self._folder = folder

    async def write(self, database: Database) -> None:
        """Bring every count over."""
        wide = self._folder / "wide.csv"
        columns = ", ".join(f'{column} AS "{kind.value}"' for kind, column in COLUMNS.items())
        async with database.connection() as connection:
            asyncpg_connection: Any = connection  # copying is not part of the store's `Connection`
            await asyncpg_connection.copy_from_query(
                f"SELECT org_id, slot AT TIME ZONE 'UTC' AS slot, {columns} FROM org_snapshots",
                output=str(wide),
                format="csv",
                header=True,
            )
        await asyncio.to_thread(self._convert, wide)

    def _convert(self, wide: Path) -> None:
        types = {
            "org_id": "INTEGER",
            "slot": "TIMESTAMP",
            **dict.fromkeys((kind.value for kind in COLUMNS), "INTEGER"),
        }
        with duckdb.connect() as connection:
            connection.execute(_LONG.format(wide=wide, long=self.path, columns=types))
        wide.unlink()

    def milliseconds(self, at: At, rounds: int) -> dict[str, float]:
        """The median of each question that DuckDB is asked; its first answer does not count."""
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute(f"CREATE VIEW readings AS SELECT * FROM '{self.path}'")
            return {
                question.name: median([_ask(connection, question.duckdb, at) for _ in range(rounds + 1)][1:])
                for question in QUESTIONS
                if question.duckdb
            }


def _ask(connection: duckdb.DuckDBPyConnection, sql: str, at: At) -> float:
    known: dict[str, Any] = at.named()
    arguments = {name: value for name, value in known.items() if f"${name}" in sql}
    started = time.perf_counter()
    connection.execute(sql, arguments).fetchall()
    return 1_000 * (time.perf_counter() - started)
