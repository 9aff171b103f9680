"""Checks the service: workers and their clocks, the schedule, rows in the future, maintenance tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.diagnosis import TaskRun, check_tasks
from poller.core.maintenance import TASK_SECONDS
from poller.core.message_health import check_messages
from poller.core.quantities import count
from poller.store.queue.jobs import depth
from poller.store.queue.maintenance import list_tasks
from poller.store.queue.outbox_health import read_outbox
from poller.store.queue.schedule_health import count_unscheduled
from poller.store.queue.workers import list_workers
from poller.store.series.future_rows import find_future_rows

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.database import Database

_OVERDUE_SECONDS: Final = 60.0


async def check_workers(_settings: Settings, database: Database) -> CheckResult:
    """Whether a worker is running, and whether the workers keep up with the queue."""
    workers = await list_workers(database, database.clock.now())
    if not workers:
        remedy = "start it, unless `poller poll` is run by a timer of yours"
        return CheckResult("workers", CheckStatus.WARNING, "no `poller run` was seen in the last minute", remedy)
    queue = await depth(database)
    if queue.overdue_seconds > _OVERDUE_SECONDS:
        overdue = f"{count(queue.overdue, 'job')} overdue, the oldest for {queue.overdue_seconds:.0f} s"
        what = f"{len(workers)} at work, {overdue}"
        return CheckResult("workers", CheckStatus.WARNING, what, "start more workers, or raise POLLER_CONCURRENCY")
    versions = ", ".join(sorted({worker.version for worker in workers}))
    return CheckResult("workers", CheckStatus.OK, f"{len(workers)} at work, version {versions}")


async def check_schedule(_settings: Settings, database: Database) -> CheckResult:
    """Whether every active org gets its slots."""
    now = database.clock.now()
    if unscheduled := await count_unscheduled(database, now):
        what = f"{count(unscheduled, 'active org')} without a slot for two intervals or more"
        working = await list_workers(database, now)
        remedy = "check the log of `poller run` and the clocks" if working else "start `poller run`: none is at work"
        return CheckResult("schedule", CheckStatus.WRONG, what, remedy)
    return CheckResult("schedule", CheckStatus.OK, "slots are handed out for every active org")


async def check_future_rows(_settings: Settings, database: Database) -> CheckResult:
    """Whether any row is later than PostgreSQL's clock."""
    now = database.clock.now()
    if found := await find_future_rows(database, now):
        what = f"a wrong clock of an earlier release left in the future: {found.describe()}"
        working = await list_workers(database, now)
        remedy = "the rollups remove it within ten minutes" if working else "start `poller run`: its rollups remove it"
        return CheckResult("future rows", CheckStatus.WRONG, what, remedy)
    return CheckResult("future rows", CheckStatus.OK, "nothing is later than PostgreSQL's clock")


async def check_worker_clocks(_settings: Settings, database: Database) -> CheckResult:
    """Whether the clock of each worker agrees with PostgreSQL's."""
    workers = await list_workers(database, database.clock.now())
    wrong = [
        f"{worker.name} by {worker.facts['clock_wrong_seconds']:,.0f} s"
        for worker in workers
        if worker.facts.get("clock_wrong_seconds")
    ]
    if wrong:
        what = f"ahead of PostgreSQL's (below 0: behind), taking no part: {', '.join(wrong)}"
        return CheckResult("workers' clocks", CheckStatus.WRONG, what, "set the clocks of these machines by NTP")
    return CheckResult(
        "workers' clocks", CheckStatus.OK, "agree with PostgreSQL's" if workers else "no worker to compare"
    )


async def check_outbox(_settings: Settings, database: Database) -> CheckResult:
    """Whether messages about alerts arrive."""
    return check_messages(await read_outbox(database), database.clock.now())


async def check_maintenance(_settings: Settings, database: Database) -> CheckResult:
    """Whether each maintenance task ran when it was due."""
    now = database.clock.now()
    return check_tasks(
        {run.name: TaskRun(run.done_at, run.error) for run in await list_tasks(database)},
        TASK_SECONDS,
        now,
        workers=len(await list_workers(database, now)),
    )
