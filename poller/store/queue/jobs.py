"""The job queue, over PgQueuer: one worker at a time has a job, and jobs of dead workers go to other workers.

PgQueuer's own statements do the work: dedupe keys, delays, SKIP LOCKED, heartbeats. Its loop is not used (see
docs/adr/0005): a batch of jobs is claimed and finished together with its batch of rows. This module does not know what
a job is for, and neither waits nor logs.

PgQueuer takes longer to load than most commands take to answer, so it is imported only to add or claim jobs.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.store.queue import poll_claims
from poller.store.queue.fair_share import ALL_PLACES, FairShare, read_fair_share

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from poller.store.database import Database, ReservedConnection
    from poller.store.queries import Queries as Statements

LOG_KEPT: Final = timedelta(hours=1)
"""How long PgQueuer's log of jobs is kept: three rows per job, 2,000 a minute for 10,000 orgs every 15 minutes."""
_DELETED_AT_ONCE: Final = 50_000


class NewJob(NamedTuple):
    """A job to add. Only one job with the same `key` is in the queue. `delay`: from now. `data_center`: of the org."""

    kind: str
    key: str
    payload: bytes
    delay: timedelta
    priority: int = 0
    data_center: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. It belongs to its worker as long as the worker sends heartbeats."""

    id: int
    kind: str
    payload: bytes


class QueueDepth(NamedTuple):
    """The numbers of jobs that wait, are overdue and are being done, and how long the oldest has been overdue."""

    waiting: int
    overdue: int
    under_way: int
    overdue_seconds: float


class JobQueue:
    """The job queue of one database, for the worker `worker_id`."""

    def __init__(
        self, database: Database, worker_id: UUID, *, heartbeat_timeout: timedelta = timedelta(seconds=30)
    ) -> None:
        from poller.store.queue.statements import QueueStatements

        self._database = database
        self._worker_id = worker_id
        self.heartbeat_timeout = heartbeat_timeout
        """Without a heartbeat for longer, any worker may take over a job."""
        self._statements = QueueStatements(database)

    async def claim(self, kinds: Collection[str], most: int) -> list[Job]:
        """Claims up to `most` jobs that are due, or whose worker is dead."""
        jobs = await self._statements.dequeue(kinds, most, self._worker_id, self.heartbeat_timeout)
        return [Job(job.id, job.entrypoint, job.payload or b"") for job in jobs]

    async def claim_polls(self, kind: str, most: int, places: Mapping[str, int]) -> list[Job]:
        """Claims up to `most` polls; of each data centre at most its places."""
        rows = await poll_claims.claim(
            self._database, kind, places, most=most, worker_id=self._worker_id, heartbeat_timeout=self.heartbeat_timeout
        )
        return [Job(row["id"], row["entrypoint"], row["payload"]) for row in rows]

    async def fair_share(
        self,
        kinds: Collection[str],
        seen_after: datetime,
        delay: timedelta,
        places: Mapping[str, int] = ALL_PLACES,
        after: timedelta = timedelta(),
    ) -> FairShare:
        """How many jobs this worker may claim now; see `read_fair_share`."""
        return await read_fair_share(
            self._database,
            self._worker_id,
            kinds,
            seen_after=seen_after,
            delay=delay,
            heartbeat_timeout=self.heartbeat_timeout,
            places=places,
            after=after,
        )

    async def ping(self) -> None:
        """Raises a `DatabaseError` if the queue cannot be read."""
        # queue.ping
        await self._database.fetchval("SELECT 1 FROM pgqueuer LIMIT 1")

    async def heartbeat_jobs(self, job_ids: Sequence[int], reserved: ReservedConnection | None = None) -> None:
        """Sends a heartbeat for these jobs and for jobs claimed a moment ago, whose claim may not have returned yet.

        `reserved`: the connection to use.
        """
        # queue.beat: an older claim that is not among these jobs was lost on its way; its job goes to another worker.
        await (reserved or self._database).execute(
            """
            UPDATE pgqueuer SET heartbeat = now()
            WHERE status = 'picked' AND queue_manager_id = $1
              AND (id = ANY($2::bigint[]) OR updated >= now() - $3::interval / 2)
            """,
            self._worker_id,
            list(job_ids),
            self.heartbeat_timeout,
        )

    async def finish(self, job_ids: Sequence[int]) -> None:
        """Removes jobs that are done from the queue."""
        if job_ids:
            # queue.finish: PgQueuer's own statement, for many jobs.
            await self._database.execute(
                self._statements.finish,
                list(job_ids),
                ["successful"] * len(job_ids),
                [None] * len(job_ids),
            )

    async def requeue(self, job_ids: Sequence[int], delay: timedelta = timedelta()) -> None:
        """Returns these jobs to the queue, for any worker, after `delay`."""
        await self.requeue_after(dict.fromkeys(job_ids, delay))

    async def requeue_after(self, delays: Mapping[int, timedelta]) -> None:
        """Returns these jobs to the queue, each after its delay. Jobs that are no longer this worker's stay as is."""
        if delays:
            # queue.put_back: many jobs in one statement, and none of them in the log.
            await self._database.execute(
                """
                UPDATE pgqueuer job SET status = 'queued', execute_after = now() + back.delay, updated = now(),
                                        attempts = attempts + 1, queue_manager_id = NULL
                FROM unnest($1::bigint[], $2::interval[]) AS back (id, delay)
                WHERE job.id = back.id AND status = 'picked' AND queue_manager_id = $3
                """,
                list(delays.keys()),
                list(delays.values()),
                self._worker_id,
            )

    async def release_all(self) -> None:
        """Returns all jobs of this worker to the queue, also jobs of a claim whose answer was lost."""
        # queue.let_go
        await self._database.execute(
            """
            UPDATE pgqueuer SET status = 'queued', execute_after = now(), updated = now(), attempts = attempts + 1,
                                queue_manager_id = NULL
            WHERE status = 'picked' AND queue_manager_id = $1
            """,
            self._worker_id,
        )


async def enqueue(statements: Statements, jobs: Sequence[NewJob]) -> int:
    """Adds jobs whose keys are not in the queue yet; returns how many. Part of the caller's transaction, if any."""
    from poller.store.queue.statements import ENQUEUE

    if not jobs:
        return 0
    rows: Sequence[Any] = await statements.fetch(
        ENQUEUE,
        [job.priority for job in jobs],
        [job.kind for job in jobs],
        [job.payload for job in jobs],
        [max(job.delay, timedelta()) for job in jobs],
        [job.key for job in jobs],
        [{"data_center": job.data_center} if job.data_center else None for job in jobs],
    )
    return len(rows)


async def depth(database: Database, kind: str | None = None) -> QueueDepth:
    """The depth of the queue, for one kind of jobs or for all."""
    # queue.depth
    row = await database.fetchrow(
        """
        SELECT count(*) FILTER (WHERE status = 'queued' AND execute_after > now()) AS waiting,
               count(*) FILTER (WHERE status = 'queued' AND execute_after <= now()) AS overdue,
               count(*) FILTER (WHERE status = 'picked') AS under_way,
               coalesce(extract(epoch FROM now() - min(execute_after) FILTER (
                   WHERE status = 'queued' AND execute_after <= now())), 0)::float8 AS overdue_seconds
        FROM pgqueuer WHERE entrypoint = coalesce($1, entrypoint)
        """,
        kind,
    )
    return QueueDepth(**row) if row is not None else QueueDepth(0, 0, 0, 0.0)


async def delete_expired_log(database: Database, before: datetime) -> int:
    """Deletes what PgQueuer logged before that moment, a bounded number of rows per statement; returns how many."""
    total = 0
    while True:
        # queue.delete_expired_log
        status = await database.execute(
            """
            DELETE FROM pgqueuer_log WHERE id IN (
                SELECT id FROM pgqueuer_log WHERE created < $1 ORDER BY created LIMIT $2)
            """,
            before,
            _DELETED_AT_ONCE,
        )
        deleted = int(status.rpartition(" ")[2])
        total += deleted
        if deleted < _DELETED_AT_ONCE:
            return total
