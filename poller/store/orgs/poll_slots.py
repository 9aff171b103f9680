"""Slots on their way to a poll: everything that decides what is done about each, by one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.store.orgs.credits import counted_after
from poller.store.orgs.poll_state import POLL_COLUMNS, POLL_JOINS, PollableOrg, pollable_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from poller.core.schedule import Due
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class PollableSlot:
    """One slot of one org, before it is polled: `active` unless paused; `known` if all its counts are.

    `cool_until`: no token can be had before. `busy`: another worker is polling the org.
    """

    pollable: PollableOrg
    active: bool
    known: bool
    polled_at: datetime | None
    cool_until: datetime | None
    busy: bool


async def read_slots(
    database: Database,
    due: Sequence[Due],
    own_jobs: Sequence[int],
    *,
    now: datetime,
    silence: timedelta,
    api_version: str,
    interval_seconds: int,
) -> list[PollableSlot | None]:
    """All that is known of these slots, in their order; None for those of removed orgs.

    `own_jobs`: those of this worker keep no org busy. Jobs that were silent for `silence` do not, either.
    """
    slots: list[PollableSlot | None] = [None] * len(due)
    org_ids, starts = [one.org_id for one in due], [one.slot for one in due]
    for row in await database.fetch(_SLOTS, org_ids, starts, now, counted_after(now), silence, list(own_jobs)):
        slots[row["place"] - 1] = PollableSlot(
            pollable_of(row, api_version, interval_seconds),
            row["active"],
            row["slot_outcome"] == Outcome.OK,
            row["slot_polled_at"],
            row["cool_until"],
            row["busy"],
        )
    return slots


# pollable_slots.read: these slots with their orgs, by key, so that each slot is looked up in its own month only. Jobs
# are keyed by org and slot. $1 orgs, $2 slots, $3 now, $4 credits since, $5 how long a job may be silent, $6 own jobs
_SLOTS: Final = f"""
WITH elsewhere AS MATERIALIZED (
    SELECT DISTINCT split_part(dedupe_key, ':', 1)::int AS org_id FROM pgqueuer
    WHERE status = 'picked' AND entrypoint = 'poll' AND heartbeat >= now() - $5::interval AND id <> ALL($6::bigint[])
)
SELECT due.place, o.paused_at IS NULL AS active, s.outcome AS slot_outcome, s.polled_at AS slot_polled_at,
       CASE WHEN t.token IS NULL OR t.expires_at <= $3 THEN t.cool_until END AS cool_until,
       e.org_id IS NOT NULL AS busy, {POLL_COLUMNS}
FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS due (org_id, slot, place)
     JOIN orgs o ON o.id = due.org_id AND o.removed_at IS NULL {POLL_JOINS}
     LEFT JOIN elsewhere e ON e.org_id = o.id
     LEFT JOIN LATERAL (
         SELECT outcome, polled_at FROM org_snapshots WHERE org_id = due.org_id AND slot = due.slot
     ) s ON true
"""  # noqa: S608 - the columns and joins stand in the store
