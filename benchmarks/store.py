"""What keeping the series costs and how fast it answers: ingest, bytes and questions, at 0.1, 1 and 3 times the size.

Beside each figure stands its aim, and what it is held against in the same run: a bare COPY into the same table, DuckDB
on the same readings in Parquet. PostgreSQL's settings are the embedded server's; only ratios travel between machines.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.history import HOURS, History
from benchmarks.parquet import Parquet
from benchmarks.questions import QUESTIONS, At
from benchmarks.report import Measured, report
from poller import embedded
from poller.core.model import COLUMNS
from poller.store import schema
from poller.store.database import Database, connect
from poller.store.series.partitions import list_partitions, month_of
from poller.store.series.reindex import compact_indexes
from poller.store.series.rollups import roll_up
from poller.store.series.snapshot_sql import INSERT
from poller.store.series.snapshots import arguments_of, write_snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.model import Snapshot

ORGS: Final = 100
DAYS: Final = 90
ROUNDS: Final = 5
SIZES: Final = (0.1, 1, 3)
_COMMAND_TIMEOUT: Final = 3_600.0
_COLUMNS: Final = (
    "slot",
    "polled_at",
    "org_id",
    "duration_ms",
    *COLUMNS.values(),
    "late_seconds",
    "requests",
    "outcome",
    "error",
)


async def main(orgs: int | None = None, days: int | None = None, *, explain: bool = False) -> None:
    """Print every figure at each size; with `explain`, how PostgreSQL answers each question at the middle one."""
    orgs, days = orgs or ORGS, max(days or DAYS, 3 * ROUNDS + 1)
    report([await _measure(max(1, round(orgs * size)), days, explain=explain and size == 1) for size in SIZES])


async def _measure(orgs: int, days: int, *, explain: bool) -> Measured:
    measured = Measured(orgs, days)
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        parquet = Parquet(Path(folder))
        async with _database() as database:
            history = await _fleet(database, orgs, days)
            await _load(database, history, measured)
            await database.execute("VACUUM (ANALYZE)")
            await _bytes(database, history, measured)
            at = At(history.org_ids[len(history.org_ids) // 2], history.since.date(), history.until.date())
            for question in QUESTIONS:
                arguments = question.arguments(at)
                measured.milliseconds[question.name] = await _milliseconds(database, question.sql, arguments)
                if explain:
                    plan = await database.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {question.sql}", *arguments)
                    print(f"\n{question.name}", *(row[0] for row in plan), sep="\n")
            await parquet.write(database)
            measured.duckdb = await asyncio.to_thread(parquet.milliseconds, at, ROUNDS)
            measured.bytes["Parquet, zstd"] = parquet.path.stat().st_size / measured.readings
    return measured


@asynccontextmanager
async def _database() -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        server = await asyncio.to_thread(embedded.start, Path(folder))
        try:
            await schema.upgrade(server.dsn())
            async with await connect(server.dsn(), command_timeout=_COMMAND_TIMEOUT) as database:
                yield database
        finally:
            await asyncio.to_thread(server.close)


async def _fleet(database: Database, orgs: int, days: int) -> History:
    """The orgs, and the line between finished days and open ones where their history begins."""
    await database.execute(
        "INSERT INTO orgs (name, data_center) SELECT 'org ' || n, 'us' FROM generate_series(1, $1::integer) AS n", orgs
    )
    org_ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]
    history = History(org_ids, days, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0))
    await database.execute("UPDATE rollup_state SET rolled_until = $1", history.since.date())
    return history


async def _load(database: Database, history: History, measured: Measured) -> None:
    """Writes every day as polls and maintenance tasks leave it, and the hours of today.

    The last finished days are written in three ways in turn, so that all three have equal tables and hours.
    """
    days = list(history.days())
    ways = dict(zip(days[-3 * ROUNDS :], ("COPY", "INSERT", "write") * ROUNDS, strict=True))
    for day in [*days, history.until]:
        batches = list(history.batches(day, datetime.now(UTC).hour if day == history.until else HOURS))
        if not batches:  # today, in its first hour
            continue
        rows = sum(map(len, batches))
        await _put(database, batches, ways.get(day, ""), measured)
        if day < history.until:
            with measured.timing(f"roll up {ways.get(day)}", rows):
                await roll_up(database, day.date() + timedelta(days=1))
        measured.readings += len(COLUMNS) * rows


async def _put(database: Database, batches: list[list[Snapshot]], way: str, measured: Measured) -> None:
    rows = sum(map(len, batches))
    async with database.connection() as connection:
        if way == "COPY":
            asyncpg_connection: Any = connection  # copying is not part of the store's `Connection`
            prepared = [[_record(snapshot) for snapshot in batch] for batch in batches]
            with measured.timing(way, rows):
                for records in prepared:
                    await asyncpg_connection.copy_records_to_table("org_snapshots", records=records, columns=_COLUMNS)
        elif way == "INSERT":
            with measured.timing(way, rows):
                for batch in batches:
                    await connection.execute(INSERT, *arguments_of(batch), -math.inf)
        else:
            with measured.timing(way, rows):
                for batch in batches:
                    await write_snapshots(database, batch, new=True)


def _record(snapshot: Snapshot) -> tuple[Any, ...]:
    """The row that `write_snapshots` makes of a snapshot."""
    return (
        snapshot.slot,
        snapshot.polled_at,
        snapshot.org_id,
        snapshot.duration_ms,
        *(snapshot.counts.get(kind) for kind in COLUMNS),
        snapshot.late_seconds,
        snapshot.requests,
        snapshot.outcome.value,
        snapshot.error,
    )


async def _bytes(database: Database, history: History, measured: Measured) -> None:
    """Bytes per reading before and after the maintenance task that rebuilds indexes."""
    await _bytes_of_months(database, history, measured, "unpacked, ")
    await compact_indexes(database, history.until)
    await _bytes_of_months(database, history, measured, "")
    sizes = {row["name"]: row["total"] for row in await database.fetch(_SIZES)}
    for name in ("daily_counts", "latest_snapshots"):
        measured.bytes[name] = sizes[name] / measured.readings


async def _bytes_of_months(database: Database, history: History, measured: Measured, how: str) -> None:
    rows = {
        row["name"]: row["rows"]
        for row in await database.fetch(
            "SELECT tableoid::regclass::text AS name, count(*) AS rows FROM org_snapshots GROUP BY 1"
        )
    }
    sizes = {row["name"]: row for row in await database.fetch(_SIZES)}
    finished = [one.name for one in await list_partitions(database) if one.since < month_of(history.until)]
    for what, names in {"finished months": finished, "this month": sorted({*rows} - {*finished}), "all": rows}.items():
        readings = len(COLUMNS) * sum(rows.get(name, 0) for name in names)
        for part, label in (("heap", " heap"), ("indexes", " indexes"), ("total", "")):
            total = sum(sizes[name][part] for name in names if rows.get(name))
            measured.bytes[f"org_snapshots, {how}{what}{label}"] = total / max(readings, 1)


_SIZES: Final = """
SELECT relname AS name, pg_relation_size(oid) AS heap, pg_indexes_size(oid) AS indexes,
       pg_total_relation_size(oid) AS total
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


async def _milliseconds(database: Database, sql: str, arguments: tuple[Any, ...]) -> float:
    """The median time until a client has every row; the first answer warms the caches and does not count."""
    async with database.connection() as connection:
        times = []
        for _ in range(ROUNDS + 1):
            started = time.perf_counter()
            await connection.fetch(sql, *arguments)
            times.append(1_000 * (time.perf_counter() - started))
        return median(times[1:])
