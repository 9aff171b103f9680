"""Samples of a running service: memory, connections, and every table of the database."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.store.queue.jobs import LOG_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.store.database import Database

EXPECTED: Final = frozenset({"data_center.away"})
"""Errors that the simulated Zoho is asked to bring about."""
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


class Size(NamedTuple):
    """The size of a table: rows, and bytes including indexes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample; `at` is in days of the soak's clock since its start."""

    at: float
    worker_mb: float
    zoho_mb: float
    connections: int
    tables: Mapping[str, Size]
    uncleared_hours: float = 0.0
    """Of the soak's clock, since the log of the queue was cleared, or since its first row."""
    overdue_log_rows: int = 0
    """That were older than is kept when the last clearing began, and are there after it."""


@dataclass
class TaskRuns:
    """The runs of a maintenance task, the sum of its results, and the unit of this sum."""

    times: int = 0
    came_to: int = 0
    of: str = ""


@dataclass
class Found:
    """All samples and logs of a run."""

    samples: list[Sample] = field(default_factory=list)
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Rows by outcome and by how late they were polled, in seconds of the soak's clock."""
    orgs: int = 0
    """That have rows from the first slots on to the last."""
    without_row: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, TaskRuns] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    """The exit code of the worker."""


def resident_mb(process_id: int) -> float:
    """The resident memory of a process now."""
    pages = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * _PAGE_MB


async def connections(database: Database) -> int:
    """The number of connections of all clients of this database except the soak itself."""
    count: int = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'soak'"
        " AND backend_type = 'client backend'"
    )
    return count


async def tables(database: Database) -> dict[str, Size]:
    """The size of every table; the months of `org_snapshots` are one table with an estimated number of rows."""
    found = {}
    for row in await database.fetch(_SIZES):
        rows = row["estimate"] if row["name"] == "org_snapshots" else await _count(database, row["name"])
        found[row["name"]] = Size(rows, row["bytes"])
    return found


async def _count(database: Database, name: str) -> int:
    counted: int = await database.fetchval(f'SELECT count(*) FROM "{name}"')
    return counted


_SIZES: Final = r"""
SELECT regexp_replace(relname, '_\d{4}_\d{2}$', '') AS name, sum(pg_total_relation_size(oid))::bigint AS bytes,
       sum(greatest(reltuples, 0)) FILTER (WHERE relkind = 'r')::bigint AS estimate
FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
GROUP BY 1 ORDER BY 1
"""


async def slots_without_row(database: Database, interval_seconds: int) -> list[str]:
    """The number of slots between the first and last row of an org without a row or a job in the queue."""
    rows = await database.fetch(_WITHOUT_ROW, float(interval_seconds))
    return [f"org {row['org_id']}: {row['slot']:%F %H:%M}" for row in rows]


async def orgs_with_rows(database: Database, since: datetime, until: datetime) -> int:
    """The number of orgs with their first row before `since` and their last row after `until`."""
    orgs: int = await database.fetchval(_ORGS_WITH_ROWS, since, until)
    return orgs


def read_log(log: Path, found: Found) -> None:
    """The number of log events by name, and of errors by text; a line that is not an event is an error."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                found.errors[line.strip()[:80]] += 1
                continue
            found.events[said["event"]] += 1
            if said["level"] not in {"debug", "info", "warning"} and said["event"] not in EXPECTED:
                found.errors[said["event"]] += 1
            if said["event"] == "maintenance.done":
                number, _, of = said["detail"].partition(" ")
                task = found.tasks.setdefault(said["task"], TaskRuns(of=of))
                task.times += 1
                # "everything is kept" is no number.
                task.came_to += int(number) if number.isdecimal() else 0


async def outcomes(database: Database, until: datetime | None = None) -> Counter[tuple[str, int]]:
    """The rows of slots before `until`, by outcome and by seconds of lateness."""
    rows = await database.fetch(_OUTCOMES, until)
    return Counter({(row["outcome"], row["late_seconds"]): row["count"] for row in rows})


async def look(at: float, worker_id: int, zoho_id: int, database: Database) -> Sample:
    """Takes a sample now."""
    # Before the rows are counted: what is cleared in between makes them fewer.
    uncleared: float = await database.fetchval(_UNCLEARED)
    overdue: int = await database.fetchval(_OVERDUE, LOG_KEPT)
    counted = await tables(database)
    worker_mb, zoho_mb, connected = resident_mb(worker_id), resident_mb(zoho_id), await connections(database)
    return Sample(at, worker_mb, zoho_mb, connected, counted, uncleared, overdue)


_UNCLEARED: Final = """
SELECT coalesce(extract(epoch FROM now() - coalesce(
    (SELECT done_at FROM chores WHERE name = 'queue log'), (SELECT min(created) FROM pgqueuer_log))) / 3600, 0)::float8
"""

_OVERDUE: Final = """
SELECT count(*) FROM pgqueuer_log, chores
WHERE name = 'queue log' AND begun_at <= done_at AND created < begun_at - $1::interval
"""

_OUTCOMES: Final = """
SELECT outcome, late_seconds, count(*) FROM org_snapshots WHERE $1::timestamptz IS NULL OR slot < $1 GROUP BY 1, 2
"""

_WITHOUT_ROW: Final = """
WITH stretches AS (
    SELECT (said ->> 'org')::int AS org, (said ->> 'first')::bigint AS first, (said ->> 'last')::bigint AS last
    FROM pgqueuer, LATERAL (SELECT convert_from(payload, 'UTF8')::jsonb AS said) AS stretch
    WHERE entrypoint = 'explain')
SELECT of_org.org_id, series.slot
FROM (SELECT org_id, min(slot) AS first, max(slot) AS last FROM org_snapshots GROUP BY org_id) AS of_org,
     generate_series(of_org.first, of_org.last, make_interval(secs => $1)) AS series (slot)
WHERE NOT EXISTS (SELECT FROM org_snapshots s WHERE s.org_id = of_org.org_id AND s.slot = series.slot)
  AND NOT EXISTS (SELECT FROM pgqueuer q WHERE q.dedupe_key = of_org.org_id || ':'
      || to_char(series.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
  AND NOT EXISTS (SELECT FROM stretches
      WHERE org = of_org.org_id AND extract(epoch FROM series.slot) BETWEEN first AND last)
"""

_ORGS_WITH_ROWS: Final = """
SELECT count(*) FROM (SELECT FROM org_snapshots GROUP BY org_id HAVING min(slot) < $1 AND max(slot) > $2) AS orgs
"""
