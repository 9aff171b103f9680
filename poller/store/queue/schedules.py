"""Adds due slots to the queue: jobs and cursors change together, in one transaction.

Any worker may try at any time. A lock lets one in at a time; the others find nothing left to do, so no worker is a
leader. `core.schedule` says which slots of an org are due; this module calls it for each org and stores the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from poller.core.clock import TOLERANCE_SECONDS
from poller.core.errors import ClockError
from poller.core.model import Org
from poller.core.schedule import LONGEST_LOOKAHEAD, Advance, Cursor, Due, Missed, brought_back
from poller.store.locks import Lock, try_lock
from poller.store.queue.jobs import NewJob, enqueue

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.queries import Connection

POLL: Final = "poll"
RECORD_MISSED: Final = "explain"
"""Kinds of jobs: polls one slot of one org; writes the rows of a range of slots of one org that were not polled."""

AdvanceOrg = Callable[[Org, Cursor | None, datetime], Advance]
"""`advance(org, cursor, now)`: the due and missed slots of an org, by its effective interval."""

_LATE_CHANGES: Final = timedelta(minutes=1)
"""A change may be committed this much later than its date, which may come from another clock."""


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """How many slots and ranges of missed slots were added. `alone`: no other worker did it at the same time."""

    alone: bool
    slots: int = 0
    missed_ranges: int = 0


async def enqueue_due_slots(
    database: Database,
    advance: AdvanceOrg,
    now: datetime,
    lookahead: timedelta,
    *,
    interval_seconds: int,
    changed_since: datetime | None = None,
) -> EnqueueResult:
    """Adds a job for every slot that is due until `now + lookahead`, and for every range of slots that was missed.

    `interval_seconds` is for orgs without their own. Orgs that changed after `changed_since` are read even if no slot
    is due; None: all orgs are. A `now` later than PostgreSQL's clock is a `ClockError`.
    """
    async with database.transaction() as connection:
        await _require_in_time(connection, now)
        if not await try_lock(connection, Lock.SLOTS):
            return EnqueueResult(alone=False)
        jobs = await _end_paused(connection, advance, now, interval_seconds)
        since = None if changed_since is None else changed_since - _LATE_CHANGES
        cursors: list[tuple[int, Cursor]] = []
        for row in await connection.fetch(_ORGS, now + lookahead, since, now + 2 * LONGEST_LOOKAHEAD):
            before = _cursor(row)
            start = None if before is None else brought_back(row["id"], before, now)
            advanced = advance(_org(row, interval_seconds), start, now)
            jobs += [_poll_job(due, row["data_center"], now) for due in advanced.due]
            jobs += [_missed_job(missed) for missed in advanced.missed]
            if advanced.cursor != before:
                cursors.append((row["id"], advanced.cursor))
        await enqueue(connection, jobs)
        await _save(connection, cursors)
    slots = sum(job.kind == POLL for job in jobs)
    return EnqueueResult(alone=True, slots=slots, missed_ranges=len(jobs) - slots)


def due_payload(due: Due) -> bytes:
    """The payload of the job for this slot."""
    fields = {"org": due.org_id, "slot": int(due.slot.timestamp()), "interval": due.interval_seconds}
    return orjson.dumps(fields if due.asked_at is None else {**fields, "asked": due.asked_at.timestamp()})


def read_due(payload: bytes) -> Due:
    """The slot of a job's payload."""
    fields = orjson.loads(payload)
    asked = fields.get("asked")
    return Due(fields["org"], _moment(fields["slot"]), fields["interval"], None if asked is None else _moment(asked))


def read_missed(payload: bytes) -> Missed:
    """The range of missed slots of a job's payload."""
    fields = orjson.loads(payload)
    return Missed(fields["org"], _moment(fields["first"]), _moment(fields["last"]), fields["interval"])


async def _require_in_time(connection: Connection, now: datetime) -> None:
    # schedules.now: the time of PgQueuer's statements.
    there: datetime = await connection.fetchval("SELECT now()")
    if now > there + timedelta(seconds=TOLERANCE_SECONDS):
        raise ClockError(
            f"slots would be handed out at {now:%Y-%m-%d %H:%M:%S} UTC, when PostgreSQL's clock said"
            f" {there:%Y-%m-%d %H:%M:%S}",
            "set the clocks of this machine and of PostgreSQL's by NTP",
        )


async def _end_paused(
    connection: Connection, advance: AdvanceOrg, now: datetime, interval_seconds: int
) -> list[NewJob]:
    """Deletes the cursors of paused and removed orgs; returns jobs for the slots they missed before."""
    jobs: list[NewJob] = []
    for row in await connection.fetch(_PAUSED):
        advanced = advance(_org(row, interval_seconds), _cursor(row), min(row["paused_at"], now))
        jobs += [_missed_job(missed) for missed in advanced.missed]
    return jobs


async def _save(connection: Connection, cursors: Sequence[tuple[int, Cursor]]) -> None:
    if cursors:
        await connection.execute(
            _SAVE,
            [org_id for org_id, _ in cursors],
            [cursor.slot for _, cursor in cursors],
            [cursor.interval_seconds for _, cursor in cursors],
            [Due(org_id, cursor.slot, cursor.interval_seconds).at for org_id, cursor in cursors],
            [cursor.newest_slot for _, cursor in cursors],
            [cursor.newest_at for _, cursor in cursors],
        )


# schedules.orgs: orgs whose next slot is due by $1, new orgs, orgs whose cursor a wrong clock moved ahead (more than an
# interval later than $3: see core.schedule.brought_back), and orgs changed since $2 (NULL: all orgs).
_ORGS: Final = """
SELECT o.id, o.name, o.data_center, o.api_version, o.poll_interval_seconds, o.edition, o.licences,
       s.slot, s.interval_seconds, s.newest_slot, s.newest_at
FROM orgs o LEFT JOIN org_schedules s ON s.org_id = o.id
WHERE o.paused_at IS NULL AND o.removed_at IS NULL
  AND (s.slot IS NULL OR s.due_at <= $1 OR $2::timestamptz IS NULL OR o.updated_at >= $2
       OR s.slot > $3::timestamptz + s.interval_seconds * interval '1 second')
"""

# schedules.let_go: deletes the cursors of orgs that are no longer polled.
_PAUSED: Final = """
DELETE FROM org_schedules s USING orgs o
WHERE o.id = s.org_id AND (o.paused_at IS NOT NULL OR o.removed_at IS NOT NULL)
RETURNING o.id, o.name, o.data_center, o.api_version, o.poll_interval_seconds, o.edition, o.licences,
          s.slot, s.interval_seconds, s.newest_slot, s.newest_at, least(o.paused_at, o.removed_at) AS paused_at
"""

# schedules.save: many orgs at once, without purged orgs; the orgs are locked as the foreign key would lock them.
_SAVE: Final = """
WITH present AS (
    SELECT new.*
    FROM unnest($1::int[], $2::timestamptz[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
         AS new (org_id, slot, interval_seconds, due_at, newest_slot, newest_at)
         JOIN orgs o ON o.id = new.org_id
    ORDER BY o.id FOR KEY SHARE OF o
)
INSERT INTO org_schedules AS s (org_id, slot, interval_seconds, due_at, newest_slot, newest_at)
SELECT * FROM present
ON CONFLICT (org_id) DO UPDATE SET slot = excluded.slot, interval_seconds = excluded.interval_seconds,
    due_at = excluded.due_at, newest_slot = excluded.newest_slot, newest_at = excluded.newest_at
"""


def _org(row: Any, interval_seconds: int) -> Org:
    return Org(
        id=row["id"],
        name=row["name"],
        data_center=row["data_center"],
        api_version=row["api_version"] or "",
        interval_seconds=row["poll_interval_seconds"] or interval_seconds,
        edition=row["edition"],
        licences=row["licences"],
    )


def _cursor(row: Any) -> Cursor | None:
    if row["slot"] is None:
        return None
    return Cursor(row["slot"], row["interval_seconds"], row["newest_slot"], row["newest_at"])


def _poll_job(due: Due, data_center: str, now: datetime) -> NewJob:
    key = f"{due.org_id}:{due.slot:%Y-%m-%dT%H:%M:%SZ}"
    return NewJob(POLL, key, due_payload(due), due.at - now, priority=1, data_center=data_center)


def _missed_job(missed: Missed) -> NewJob:
    payload = {
        "org": missed.org_id,
        "first": int(missed.first.timestamp()),
        "last": int(missed.last.timestamp()),
        "interval": missed.interval_seconds,
    }
    key = f"{RECORD_MISSED}:{missed.org_id}:{missed.first:%Y-%m-%dT%H:%M:%SZ}"
    return NewJob(RECORD_MISSED, key, orjson.dumps(payload), timedelta())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
