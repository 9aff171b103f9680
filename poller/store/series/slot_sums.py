"""Sums slots by outcome and by lateness, and counts slots that are due and have no row yet."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.store.database import Database


class SlotCount(NamedTuple):
    """How many slots of one data centre had one outcome for one reason. A partial poll that is known is `ok`."""

    outcome: str
    error: str | None
    data_center: str
    slots: int


class HourSums(NamedTuple):
    """The slots of one hour by outcome, and its polls that sent a request by the seconds they began late."""

    outcomes: Sequence[SlotCount]
    late_seconds: Mapping[int, int]


class UnrecordedSlots(NamedTuple):
    """Slots that were due and have no row, and the number of their orgs."""

    slots: int
    orgs: int


class OrgGap(NamedTuple):
    """Slots of one org with one outcome and reason whose counts are unknown, and the first of them."""

    org_id: int
    org: str
    data_center: str
    outcome: str
    error: str | None
    slots: int
    first: datetime


async def sum_slots(
    database: Database, since: datetime, until: datetime, visible_tags: Sequence[str] | None
) -> dict[datetime, HourSums]:
    """Sums the slots in `[since, until)`, whole hours, of orgs that are not removed. `visible_tags` None: of all orgs.

    Hours without a slot are left out.
    """
    outcomes: defaultdict[datetime, Counter[tuple[str, str | None, str]]] = defaultdict(Counter)
    late: defaultdict[datetime, Counter[int]] = defaultdict(Counter)
    async with database.transaction() as connection:
        # The plan for any range of slots would read the wrong index.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        rows = await connection.fetch(_SUMS, since, until, visible_tags)
    for slot, outcome, error, data_center, late_seconds, known, slots in rows:
        hour = slot.replace(minute=0, second=0, microsecond=0)
        outcomes[hour][("ok", None, data_center) if known else (outcome, error, data_center)] += slots
        if late_seconds is not None:
            late[hour][late_seconds] += slots
    return {
        hour: HourSums([SlotCount(*key, slots) for key, slots in sums.items()], late[hour])
        for hour, sums in outcomes.items()
    }


async def unrecorded_slots(
    database: Database, since: datetime, now: datetime, visible_tags: Sequence[str] | None
) -> UnrecordedSlots:
    """Counts slots since `since` that were due at `now` and have no row, after the newest row of each active org.

    Without a worker nothing writes rows, so the outcomes alone would look fine.
    """
    (row,) = await database.fetch(_UNRECORDED, since, now, visible_tags)
    return UnrecordedSlots(*row)


async def gaps_of_orgs(
    database: Database,
    since: datetime,
    until: datetime,
    visible_tags: Sequence[str] | None,
    *,
    outcome: str | None,
    listed: int,
) -> tuple[int, list[OrgGap]]:
    """Counts gaps in `[since, until)` by org, outcome and reason; returns the first `listed`, the most slots first."""
    rows = await database.fetch(_GAPS, since, until, visible_tags, outcome, listed)
    return rows[0]["total"] if rows else 0, [OrgGap(*row[:7]) for row in rows]


_COUNTS: Final = ", ".join(f"s.{column}" for column in COLUMNS.values())

# slot_sums.sums: groups by bare columns, which takes a quarter of the time of grouping by hour and by what is known. A
# partial poll is known if later polls added the others.
_SUMS: Final = f"""
SELECT s.slot, s.outcome, s.error, o.data_center, CASE WHEN s.requests > 0 THEN s.late_seconds END AS late,
       s.outcome = 'ok' OR (s.outcome = 'partial' AND num_nulls({_COUNTS}) = 0) AS known, count(*)::int AS slots
FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
WHERE s.slot >= $1 AND s.slot < $2 AND o.removed_at IS NULL AND ($3::text[] IS NULL OR o.tags && $3)
GROUP BY 1, 2, 3, 4, 5, 6
"""  # noqa: S608 - names of the model

# slot_sums.gaps: the index on gaps leaves out `ok`.
_GAPS: Final = f"""
SELECT s.org_id, o.name AS org, o.data_center, s.outcome, s.error, count(*)::int AS slots, min(s.slot) AS first,
       (count(*) OVER ())::int AS total
FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
WHERE s.slot >= $1 AND s.slot < $2 AND o.removed_at IS NULL AND ($3::text[] IS NULL OR o.tags && $3)
  AND s.outcome <> 'ok' AND (s.outcome <> 'partial' OR num_nulls({_COUNTS}) > 0)
  AND ($4::text IS NULL OR s.outcome = $4)
GROUP BY s.org_id, o.name, o.data_center, s.outcome, s.error
ORDER BY slots DESC, o.name, s.org_id, s.outcome, s.error LIMIT $5
"""  # noqa: S608 - names of the model

# slot_sums.unrecorded: a slot is due within one interval of its start, and a minute is enough for the poll and its row.
# Only orgs whose newest row is old by the interval asked for need the effective interval, which may be longer.
_UNRECORDED: Final = """
SELECT coalesce(sum(late.slots), 0)::int AS slots, count(*)::int AS orgs
FROM (
    SELECT least(floor((extract(epoch FROM $2::timestamptz - behind.newest) - 60) / i.seconds) - 1,
                 ceil(extract(epoch FROM $2 - $1::timestamptz) / i.seconds))::int AS slots
    FROM (
        SELECT o.id, greatest(p.slot, o.resumed_at, CASE WHEN p.slot IS NULL THEN o.created_at END) AS newest,
               coalesce(o.poll_interval_seconds, w.poll_interval_seconds, 900) AS asked
        FROM orgs o
        LEFT JOIN service_settings w ON true
        LEFT JOIN latest_polls p ON p.org_id = o.id
        WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND ($3::text[] IS NULL OR o.tags && $3)
    ) AS behind
    CROSS JOIN LATERAL (
        SELECT effective_interval_seconds::float8 AS seconds FROM org_states WHERE org_id = behind.id OFFSET 0
    ) AS i
    WHERE behind.newest < $2 - 2 * make_interval(secs => behind.asked)
) AS late
WHERE late.slots > 0
"""
