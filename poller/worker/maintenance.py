"""Maintenance tasks: partitions made in advance, rollups, retention and so on, each at its own interval.

Every task may be repeated and interrupted. No task is urgent: a partition that is missing is made when a row needs it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from poller.core.errors import LockedError
from poller.core.maintenance import TASK_SECONDS
from poller.core.quantities import count
from poller.store.access.audit import delete_expired_entries
from poller.store.capacity.alert_states import delete_expired_alerts
from poller.store.orgs import credits as credit_store
from poller.store.orgs.future_limits import clear_future_limits
from poller.store.orgs.token_budgets import delete_expired_budgets
from poller.store.queue.jobs import LOG_KEPT, delete_expired_log
from poller.store.queue.outbox import delete_expired_messages
from poller.store.queue.workers import delete_expired_workers
from poller.store.series.future_rows import repair_future_rows
from poller.store.series.partitions import (
    MONTHS_AHEAD,
    MOST_AT_ONCE,
    drop_partitions,
    ensure_partitions,
    list_partitions,
    month_after,
    month_of,
)
from poller.store.series.reindex import compact_indexes
from poller.store.series.retention import drop_daily_counts, late_days, newest_known
from poller.store.series.rollups import roll_up
from poller.worker.analyses import forecast_fleet, search_anomalies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from poller.core.retention import Retention
    from poller.store.database import Database

_LATE_ROWS: Final = timedelta(days=2)
"""After the end of a month, until its late rows have arrived."""
MOST_MONTHS: Final = 1
"""Months of snapshots that one run deletes at most, even if a clock is wrong. After a year without a poller, or with a
new retention, several runs are needed, which leaves time to notice a mistake."""
MOST_DAYS: Final = 31
"""Days of daily counts that one run deletes at most."""
_WORKERS_KEPT: Final = timedelta(days=1)


TaskFunction: TypeAlias = "Callable[[Database, datetime], Awaitable[str]]"
"""Does a task at PostgreSQL's time, and returns in a few words what it did."""


class MaintenanceTask(NamedTuple):
    """A function and its interval."""

    every_seconds: int
    do: TaskFunction


async def _make_partitions(database: Database, now: datetime) -> str:
    until = month_of(now)
    for _ in range(MONTHS_AHEAD):
        until = month_after(until)
    made: list[str] = []
    while batch := await ensure_partitions(database, now, until):
        made += batch
        if len(batch) < MOST_AT_ONCE:
            break
    return f"{len(made)} made"


async def _pack(database: Database, now: datetime) -> str:
    return f"{len(await compact_indexes(database, now - _LATE_ROWS))} packed"


async def _roll_up(database: Database, now: datetime) -> str:
    repaired = await repair_future_rows(database, now)
    done = f"{await roll_up(database, now.date())} days of orgs"
    return f"{done}; removed from the future: {repaired.describe()}" if repaired else done


async def _delete_old_credits(database: Database, now: datetime) -> str:
    cleared = await clear_future_limits(database, now)
    done = f"{await credit_store.delete_expired_credits(database, now)} quarters of an hour forgotten"
    return f"{done}; cleared in the future: {', '.join(cleared)}" if cleared else done


async def _delete_old_budgets(database: Database, now: datetime) -> str:
    return f"{await delete_expired_budgets(database, now)} forgotten"


async def _delete_old_log(database: Database, now: datetime) -> str:
    return f"{await delete_expired_log(database, now - LOG_KEPT)} rows forgotten"


async def _delete_old_workers(database: Database, now: datetime) -> str:
    return f"{await delete_expired_workers(database, now - _WORKERS_KEPT)} forgotten"


async def _delete_old_audit(database: Database, _now: datetime) -> str:
    return f"{await delete_expired_entries(database)} forgotten"


async def _delete_old_messages(database: Database, _now: datetime) -> str:
    return f"{await delete_expired_messages(database)} forgotten"


async def _delete_old_alerts(database: Database, now: datetime) -> str:
    return f"{await delete_expired_alerts(database, now)} forgotten"


async def _no_digest(_database: Database, _now: datetime) -> str:
    return "none is set"


async def _retain(database: Database, now: datetime, *, snapshots: Retention | None, days: Retention | None) -> str:
    """Deletes what is older than its retention, counted back from the newest known counts, a month at a time."""
    if snapshots is None and days is None:
        return "everything is kept"
    newest = await newest_known(database, now)
    if newest is None:
        return "nothing dropped: no count is known yet"
    parts: list[str] = []
    locked: LockedError | None = None
    if snapshots is not None:
        try:
            parts += await _drop_month(database, snapshots.cutoff(newest))
        except LockedError as error:
            locked = error
    if days is not None:
        dropped = await drop_daily_counts(database, days.cutoff(newest).date(), MOST_DAYS)
        parts.append(f"{count(dropped, 'day')} dropped")
    if locked is not None:
        raise locked
    return ", ".join(parts)


async def _drop_month(database: Database, cutoff: datetime) -> list[str]:
    late = await late_days(database, month_of(cutoff).date())
    dropped = await drop_partitions(database, cutoff, MOST_MONTHS)
    parts = [f"{count(len(dropped), 'month')} dropped"]
    if dropped and late:
        parts.append(f"with {count(late, 'day')} of orgs that had come too late to be counted")
    if waiting := sum(month_after(month.since) <= cutoff for month in await list_partitions(database)):
        parts.append(f"{waiting} left for later" if dropped else f"{waiting} kept until they are rolled up")
    return parts


def maintenance_tasks(
    *, snapshots: Retention | None, days: Retention | None, digest: TaskFunction | None = None
) -> Mapping[str, MaintenanceTask]:
    """The tasks of the queue by name. `snapshots`, `days`: how long these are kept; None: forever.

    `digest` sends the digest when it is due; None: never.
    """
    tasks = dict(_TASKS)
    tasks["retention"] = partial(_retain, snapshots=snapshots, days=days)
    tasks["digest"] = digest or _no_digest
    return {name: MaintenanceTask(seconds, tasks[name]) for name, seconds in TASK_SECONDS.items() if name in tasks}


_TASKS: Final[Mapping[str, TaskFunction]] = {
    "partitions": _make_partitions,
    "packing": _pack,
    "rollups": _roll_up,
    "forecasts": forecast_fleet,
    "anomalies": search_anomalies,
    "credits": _delete_old_credits,
    "token budgets": _delete_old_budgets,
    "queue log": _delete_old_log,
    "workers": _delete_old_workers,
    "audit log": _delete_old_audit,
    "alert history": _delete_old_alerts,
    "messages": _delete_old_messages,
}
