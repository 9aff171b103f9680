"""PgQueuer's statements, with fixed names of its tables and functions; no other module imports PgQueuer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.tm import TaskManager
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.driver import Driver
from pgqueuer.ports.repository import EntrypointExecutionParameter

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta
    from uuid import UUID

    from pgqueuer.domain.models import Job
    from pgqueuer.ports.driver import NotifyCallback

    from poller.store.database import Database

# Every name is given: PgQueuer would read some names from environment variables as common as CHANNEL or FUNCTION.
_NAMES: Final = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.balanced,
    widen_id=False,
)

ENQUEUE: Final = QueryQueueBuilder(settings=_NAMES).build_enqueue_query("skip")
"""Adds jobs, without those whose key is in the queue."""


class QueueStatements:
    """PgQueuer's statements for one database."""

    def __init__(self, database: Database) -> None:
        self._queries = Queries(
            _Driver(database),
            qbe=QueryBuilderEnvironment(settings=_NAMES),
            qbq=QueryQueueBuilder(settings=_NAMES),
            qbs=QuerySchedulerBuilder(settings=_NAMES),
        )
        self.finish = self._queries.qbq.build_log_job_query()
        """Removes jobs from the queue and logs their results."""

    async def dequeue(
        self, kinds: Collection[str], most: int, worker_id: UUID, heartbeat_timeout: timedelta
    ) -> list[Job]:
        """Claims up to `most` jobs for a worker: due jobs, and jobs whose last heartbeat is too old."""
        entrypoints = {QueueEntrypoint(kind): EntrypointExecutionParameter(concurrency_limit=0) for kind in kinds}
        return await self._queries.dequeue(most, entrypoints, QueueManagerId(worker_id), None, heartbeat_timeout)


class _Driver(Driver):
    """PgQueuer's driver over our database. It does not listen: workers know when the next job is due."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shutdown = asyncio.Event()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in await self._database.fetch(query, *args)]

    async def execute(self, query: str, *args: object) -> str:
        return await self._database.execute(query, *args)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        raise NotImplementedError

    async def notify(self, channel: str, payload: str) -> None:
        raise NotImplementedError

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return TaskManager()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return
