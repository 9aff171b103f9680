"""Compares each org's count of active users at two times, and adds up the hours without counts between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.model import COLUMNS, UserType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries


class OrgMove(NamedTuple):
    """An org whose active users changed."""

    org_id: int
    org: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Moves:
    """The largest changes. `compared`: orgs known at both times; `changed`: those that differ; `net`: their sum."""

    largest: Sequence[OrgMove]
    compared: int = 0
    changed: int = 0
    net: int = 0


class OrgUnknown(NamedTuple):
    """Hours without counts of one org, and the most frequent reason."""

    org_id: int
    org: str
    hours: float
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownTime:
    """The orgs with the most hours without counts; `orgs` and `hours` of all, None where there are too many orgs."""

    longest: Sequence[OrgUnknown]
    orgs: int = 0
    hours: float | None = 0.0


async def largest_moves(database: Queries, since: datetime, until: datetime, limit: int) -> Moves:
    """Compares the last known counts of the day before `since` with those of the day before `until`."""
    rows = await database.fetch(_MOVES, since, until, limit)
    if not rows:
        return Moves(())
    found = [OrgMove(*row[:4]) for row in rows if row["before"] != row["after"]]
    return Moves(found, rows[0]["compared"], rows[0]["changed"], rows[0]["net"])


async def longest_unknown(database: Queries, since: datetime, until: datetime, limit: int) -> UnknownTime:
    """Adds up the slots in `[since, until)` without counts; a slot lasts until the next one of its org."""
    rows = await database.fetch(_UNKNOWN, since, until, limit, _MOST_MEASURED)
    if not rows:
        return UnknownTime(())
    orgs = rows[0]["orgs"]
    hours = rows[0]["all_hours"] if orgs <= _MOST_MEASURED else None
    return UnknownTime([OrgUnknown(*row[:4]) for row in rows], orgs, hours)


_ACTIVE: Final = COLUMNS[UserType.ACTIVE]
# moves.last: part of other statements.
_LAST: Final = f"""
    SELECT {_ACTIVE} AS users FROM org_snapshots
    WHERE org_id = o.id AND slot <= {{at}} AND slot > {{at}} - interval '1 day' AND {_ACTIVE} IS NOT NULL
    ORDER BY slot DESC LIMIT 1
"""  # noqa: S608 - names of the model

# moves.largest
_MOVES: Final = f"""
SELECT o.id, o.name, b.users AS before, a.users AS after, count(*) OVER all_orgs AS compared,
       count(*) FILTER (WHERE a.users <> b.users) OVER all_orgs AS changed, sum(a.users - b.users) OVER all_orgs AS net
FROM orgs o
CROSS JOIN LATERAL ({_LAST.format(at="$1::timestamptz")}) AS b
CROSS JOIN LATERAL ({_LAST.format(at="$2::timestamptz")}) AS a
WHERE o.removed_at IS NULL
WINDOW all_orgs AS ()
ORDER BY abs(a.users - b.users) DESC, o.name_key, o.id LIMIT $3
"""  # noqa: S608 - names of the model

_COUNTS: Final = ", ".join(f"s.{column}" for column in COLUMNS.values())
_MOST_MEASURED: Final = 1_000
"""Orgs whose slots are all read; of more, those with the most slots without counts."""
_IS_UNKNOWN: Final = f"(s.outcome <> 'ok' AND (s.outcome <> 'partial' OR num_nulls({_COUNTS}) > 0))"
# moves.unknown: the interval may have been another one before. No interval is longer than a day.
_UNKNOWN: Final = f"""
WITH gaps AS (
    SELECT s.org_id, mode() WITHIN GROUP (ORDER BY coalesce(s.error, s.outcome)) AS reason, count(*) AS slots,
           count(*) OVER () AS orgs
    FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
    WHERE s.slot >= $1 AND s.slot < $2 AND {_IS_UNKNOWN} AND o.removed_at IS NULL
    GROUP BY s.org_id ORDER BY slots DESC, s.org_id LIMIT $4
), slots AS (
    SELECT s.org_id, s.slot, {_IS_UNKNOWN} AS unknown,
           lead(s.slot) OVER (PARTITION BY s.org_id ORDER BY s.slot) AS next
    FROM org_snapshots s WHERE s.slot >= $1 AND s.slot < $2 AND s.org_id = ANY (ARRAY(SELECT org_id FROM gaps))
), lasting AS (
    SELECT slots.org_id, least(interval '1 day', coalesce(slots.next - slots.slot, least($2 - slots.slot,
               make_interval(secs => coalesce(c.interval_seconds, o.poll_interval_seconds, 900))))) AS span
    FROM slots JOIN orgs o ON o.id = slots.org_id LEFT JOIN org_schedules c ON c.org_id = slots.org_id
    WHERE slots.unknown
), hours AS (
    SELECT org_id, sum(extract(epoch FROM span))::float8 / 3600 AS hours FROM lasting GROUP BY org_id
)
SELECT o.id, o.name, hours.hours, gaps.reason, gaps.orgs, sum(hours.hours) OVER () AS all_hours
FROM gaps JOIN hours USING (org_id) JOIN orgs o ON o.id = gaps.org_id
ORDER BY hours.hours DESC, o.name_key, o.id LIMIT $3
"""  # noqa: S608 - names of the model
