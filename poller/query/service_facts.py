"""Workers, queue, maintenance tasks and database of the whole installation, for the Health page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from poller.core.diagnosis import TaskRun, check_tasks
from poller.core.maintenance import TASK_SECONDS
from poller.core.message_health import check_messages
from poller.query.plan_figures import DEFAULTS
from poller.store.capacity.planning import stored_rows
from poller.store.queue.jobs import depth
from poller.store.queue.maintenance import list_tasks
from poller.store.queue.outbox_health import read_outbox
from poller.store.queue.workers import list_workers
from poller.store.service_health import MonthSize, month_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.core.checks import CheckResult
    from poller.core.fleet import TaskRecord, WorkerRecord
    from poller.core.planning import StoredRows
    from poller.query.cache import AnswerCache
    from poller.store.database import Database
    from poller.store.queue.jobs import QueueDepth

_MONTH_DAYS: Final = 365.25 / 12
_TYPES: Final = 10
"""Daily counts of one org."""
_FEWEST_ROWS: Final = 10_000
"""With at least this number of rows their mean size is measured; with fewer it is that of the benchmark."""
_SIZES_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A data centre that workers cannot reach: since when, the error, and the names of these workers."""

    data_center: str
    since: datetime
    error: str
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """Bytes of the database, what it grows by in a month at the rate of the last hours, and its months of snapshots."""

    bytes: int
    bytes_a_month: float
    months: Sequence[MonthSize]


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """The service of an installation. `tasks`: each with the check of its last run."""

    workers: Sequence[WorkerRecord]
    queue: QueueDepth
    tasks: Sequence[tuple[TaskRecord, CheckResult]]
    messages: CheckResult
    """Whether messages about alerts arrive."""
    database: DatabaseSize

    def open_circuits(self) -> list[OpenCircuit]:
        """Data centres that any worker cannot reach, since the first worker found out."""
        return open_circuits(self.workers)


def open_circuits(workers: Iterable[WorkerRecord]) -> list[OpenCircuit]:
    """Data centres that any of these workers cannot reach, since the first worker found out."""
    found: dict[str, OpenCircuit] = {}
    for worker in workers:
        for name, away in worker.facts.get("away", {}).items():
            since, before = datetime.fromisoformat(away["since"]), found.get(name)
            if before is None:
                found[name] = OpenCircuit(name, since, away["error"], (worker.name,))
            else:
                first = min(since, before.since)
                found[name] = OpenCircuit(name, first, before.error, (*before.workers, worker.name))
    return [found[name] for name in sorted(found)]


async def read_service(
    cache: AnswerCache, database: Database, now: datetime, *, orgs: int, rows_a_day: float
) -> ServiceFacts:
    """Reads the facts. `orgs`, `rows_a_day`: active orgs, and the snapshots that they add in a day."""
    workers = await list_workers(database, now)
    tasks = [task for task in await list_tasks(database) if task.name in TASK_SECONDS]
    return ServiceFacts(
        workers,
        await depth(database),
        [(task, _checked(task, now, len(workers))) for task in tasks],
        check_messages(await read_outbox(database), now),
        await cache.get("database size", _SIZES_SECONDS, lambda: _read_size(database, orgs, rows_a_day)),
    )


def _checked(task: TaskRecord, now: datetime, workers: int) -> CheckResult:
    run = TaskRun(task.done_at, task.error)
    return check_tasks({task.name: run}, {task.name: TASK_SECONDS[task.name]}, now, workers=workers)


async def _read_size(database: Database, orgs: int, rows_a_day: float) -> DatabaseSize:
    stored = await stored_rows(database)
    snapshots = rows_a_day * _bytes_a_row(stored.snapshots, DEFAULTS.snapshot_bytes)
    days = orgs * _TYPES * _bytes_a_row(stored.daily_counts, DEFAULTS.daily_count_bytes)
    return DatabaseSize(stored.database_bytes, _MONTH_DAYS * (snapshots + days), await month_sizes(database))


def _bytes_a_row(rows: StoredRows, otherwise: float) -> float:
    return rows.bytes / rows.rows if rows.rows >= _FEWEST_ROWS else otherwise
