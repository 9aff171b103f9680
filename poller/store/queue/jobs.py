"""The queue over PgQueuer: jobs handed to one worker at a time, taken over from workers that went silent.

PgQueuer's own statements do the work: dedupe keys, delays, SKIP LOCKED, heartbeats. Its loop is not used (see
docs/adr/0005): a batch of jobs is claimed, and done, together with the batch of rows it is about. It refuses to know
what a job is for, to wait, and to log: what went wrong is in a row or in our own log.

PgQueuer takes longer to load than most commands take to answer, and chores and figures are read by many commands: it is
imported only where jobs are queued or claimed.
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
"""How long PgQueuer's log of jobs is kept: three rows a job, 2,000 a minute for 10,000 orgs every 15 minutes."""
_DELETED_AT_ONCE: Final = 50_000


class NewJob(NamedTuple):
    """A job to enqueue: of its `key` there is one at a time. `delay`: not before. `data_center`: of the org to poll."""

    kind: str
    key: str
    payload: bytes
    delay: timedelta
    priority: int = 0
    data_center: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was claimed: this worker's, as long as it says in time that it still lives."""

    id: int
    kind: str
    payload: bytes


class QueueDepth(NamedTuple):
    """How many jobs wait for their time, are overdue, are being done, and for how long the oldest is overdue."""

    waiting: int
    overdue: int
    under_way: int
    overdue_seconds: float


class JobQueue:
    """The jobs of one database, as one worker (`worker_id`) sees them."""

    def __init__(self, database: Database, worker_id: UUID, *, silence: timedelta = timedelta(seconds=30)) -> None:
        from poller.store.queue.statements import QueueStatements

        self._database = database
        self._worker_id = worker_id
        self.silence = silence
        """Jobs of a worker that was silent for longer are anybody's."""
        self._statements = QueueStatements(database)

    async def claim(self, kinds: Collection[str], most: int) -> list[Job]:
        """Take up to so many jobs whose time has come, or whose worker has been silent for too long."""
        jobs = await self._statements.dequeue(kinds, most, self._worker_id, self.silence)
        return [Job(job.id, job.entrypoint, job.payload or b"") for job in jobs]

    async def claim_polls(self, kind: str, most: int, rooms: Mapping[str, int]) -> list[Job]:
        """The same for polls: of each data centre no more than its room."""
        rows = await poll_claims.claim(
            self._database, kind, rooms, most=most, worker_id=self._worker_id, silence=self.silence
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
            silence=self.silence,
            places=places,
            after=after,
        )

    async def ping(self) -> None:
        """Whether the queue can be had at all."""
        # queue.ping
        await self._database.fetchval("SELECT 1 FROM pgqueuer LIMIT 1")

    async def heartbeat_jobs(self, job_ids: Sequence[int], reserved: ReservedConnection | None = None) -> None:
        """Say that these are still being done, and those claimed a moment ago, whose claim may still be on its way.

        `reserved`: over this connection.
        """
        # queue.beat: what was claimed longer ago and is not among them was never heard of here: it goes to another.
        await (reserved or self._database).execute(
            """
            UPDATE pgqueuer SET heartbeat = now()
            WHERE status = 'picked' AND queue_manager_id = $1
              AND (id = ANY($2::bigint[]) OR updated >= now() - $3::interval / 2)
            """,
            self._worker_id,
            list(job_ids),
            self.silence,
        )

    async def finish(self, job_ids: Sequence[int]) -> None:
        """These are done: they leave the queue."""
        if job_ids:
            # queue.finish: PgQueuer's own, for many at once.
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
        """Put back whatever is still ours: also what was claimed by a statement whose answer nobody waited for."""
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
    """Enqueue what is not in the queue yet; how many were new. Within a transaction: with it, or not at all."""
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
    """What is in the queue, of one kind or of all."""
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
    """Delete what PgQueuer logged before that moment, a bounded number at a time; how many rows."""
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
