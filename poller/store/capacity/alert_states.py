"""Stores the states of alerts between evaluations: reads what is open, and writes what an evaluation changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.store.capacity.alert_readings import EXCLUDED, PREFETCH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.capacity.alert_readings import AlertSubject
    from poller.store.database import Database
    from poller.store.queries import Connection

KEPT_DAYS: Final = 400
"""Alerts and their messages are kept for this long after they are over."""
NEVER_FIRED_DAYS: Final = 7
"""Alerts that never fired are kept for this long."""
_DELETED_AT_ONCE: Final = 10_000


class StoredAlert(NamedTuple):
    """One row of `alert_states`, in the order in which rows are written. `id` 0: new. `org`: the name of the org."""

    id: int
    rule_id: int
    org_id: int | None
    user_type: str
    subject: str
    severity: str
    value: float | None
    threshold: float | None
    message: str
    remedy: str
    state: str
    since: datetime
    counted_from: datetime
    held_seconds: float
    cleared_seconds: float
    clear_since: datetime | None
    unknown_since: datetime | None
    fired_at: datetime | None
    resolved_at: datetime | None
    resolved_reason: str | None
    snoozed_until: datetime | None
    announced: bool
    announced_at: datetime | None
    flaps: int
    org: str | None = None
    delivered_at: datetime | None = None

    @property
    def about(self) -> AlertSubject:
        """What at most one open alert is about."""
        return self[1:5]


class StateChange(NamedTuple):
    """A change of state of one alert that an evaluation made; `from_state` None: the alert is new."""

    alert_id: int
    from_state: str | None
    to_state: str
    detail: str


class SubjectFacts(NamedTuple):
    """Why an open alert may have no reading. `covered`: its rule still selects the org."""

    alert_id: int
    removed: bool
    paused: bool
    covered: bool
    excluded: bool


async def start_evaluation(connection: Connection, now: datetime) -> datetime | None:
    """Notes that the rules are evaluated now; returns when they were last evaluated, None: never."""
    # alert_states.last
    last: datetime | None = await connection.fetchval("SELECT at FROM alert_evaluation")
    await connection.execute(_EVALUATED, now)
    return last


async def read_current(connection: Connection, resolved_after: datetime) -> dict[AlertSubject, StoredAlert]:
    """Returns the open alerts, and of subjects without one the alert that was resolved last since that time."""
    found: dict[AlertSubject, StoredAlert] = {}
    async for row in connection.cursor(_CURRENT, resolved_after, prefetch=PREFETCH):
        alert = StoredAlert(*row)
        found[alert.about] = alert
    return found


async def read_facts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> dict[int, SubjectFacts]:
    """Returns facts about the orgs of these alerts, by alert."""
    return {row[0]: SubjectFacts(*row) for row in await connection.fetch(_FACTS, list(alert_ids), now)}


async def insert_alerts(connection: Connection, alerts: Sequence[StoredAlert]) -> dict[AlertSubject, int]:
    """Inserts new alerts; returns their ids. Skips orgs that no longer exist."""
    if not alerts:
        return {}
    rows = await connection.fetch(
        _INSERT, *(list(column) for column in zip(*(one[1:24] for one in alerts), strict=True))
    )
    return {(row[1], row[2], row[3], row[4]): row[0] for row in rows}


async def update_alerts(connection: Connection, alerts: Sequence[StoredAlert]) -> None:
    """Updates alerts; skips those whose org was purged."""
    if alerts:
        columns = zip(*((one[0], *one[5:24]) for one in alerts), strict=True)
        await connection.execute(_UPDATE, *(list(column) for column in columns))


async def insert_changes(connection: Connection, changes: Sequence[StateChange], now: datetime) -> set[int]:
    """Adds these changes to the history; returns the ids of the alerts that still exist."""
    if not changes:
        return set()
    columns = [list(column) for column in zip(*changes, strict=True)]
    return {row[0] for row in await connection.fetch(_CHANGES, now, *columns)}


async def delete_expired_alerts(database: Database, now: datetime) -> int:
    """Deletes alerts that were over long ago, with their history and messages, some thousands; returns how many."""
    status = await database.execute(_EXPIRE, now, KEPT_DAYS, NEVER_FIRED_DAYS, _DELETED_AT_ONCE)
    return int(status.rpartition(" ")[2])


_COLUMNS: Final = ", ".join(StoredAlert._fields[1:24])

# alert_states.evaluated
_EVALUATED: Final = """
INSERT INTO alert_evaluation (at) VALUES ($1) ON CONFLICT (alone) DO UPDATE SET at = excluded.at
"""

# alert_states.current: the open alert of a subject comes last, so it replaces those that are over.
_CURRENT: Final = f"""
SELECT a.id, {", ".join(f"a.{column}" for column in StoredAlert._fields[1:24])}, o.name, a.delivered_at
FROM alert_states a LEFT JOIN orgs o ON o.id = a.org_id
WHERE a.state <> 'resolved' OR a.resolved_at > $1
ORDER BY a.resolved_at NULLS LAST, a.id
"""  # noqa: S608 - names of columns

# alert_states.facts
_FACTS: Final = f"""
SELECT m.id, o.removed_at IS NOT NULL, o.paused_at IS NOT NULL,
       o.id IS NULL OR ((u.org_ids = '{{}}' OR o.id = ANY (u.org_ids)) AND (u.tags = '{{}}' OR o.tags && u.tags)
                        AND (u.data_centers = '{{}}' OR o.data_center = ANY (u.data_centers))),
       {EXCLUDED}
FROM alert_states m JOIN alert_rules u ON u.id = m.rule_id LEFT JOIN orgs o ON o.id = m.org_id
WHERE m.id = ANY ($1::bigint[])
"""  # noqa: S608 - a part that stands above

# alert_states.insert: locks the orgs, because a row cannot refer to an org that was purged.
_INSERT: Final = f"""
INSERT INTO alert_states ({_COLUMNS})
SELECT {", ".join(f"n.{column}" for column in StoredAlert._fields[1:24])}
FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::text[],
            $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::float8[], $14::float8[],
            $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::text[],
            $20::timestamptz[], $21::bool[], $22::timestamptz[], $23::int[]) AS n ({_COLUMNS})
LEFT JOIN (SELECT id FROM orgs WHERE id = ANY ($2::int[]) FOR KEY SHARE) o ON o.id = n.org_id
WHERE n.org_id IS NULL OR o.id IS NOT NULL
RETURNING id, rule_id, org_id, user_type, subject
"""  # noqa: S608 - names of columns

_CHANGED: Final = StoredAlert._fields[5:24]

# alert_states.update
_UPDATE: Final = f"""
UPDATE alert_states a SET {", ".join(f"{column} = n.{column}" for column in _CHANGED)}
FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::float8[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::timestamptz[], $10::float8[], $11::float8[], $12::timestamptz[],
            $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::text[], $17::timestamptz[],
            $18::bool[], $19::timestamptz[], $20::int[]) AS n (id, {", ".join(_CHANGED)})
WHERE a.id = n.id
"""  # noqa: S608 - names of columns

# alert_states.changes
_CHANGES: Final = """
INSERT INTO alert_changes (alert_id, at, from_state, to_state, by, detail)
SELECT n.alert_id, $1, n.from_state, n.to_state, 'poller', n.detail
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS n (alert_id, from_state, to_state, detail)
JOIN (SELECT id FROM alert_states WHERE id = ANY ($2::bigint[]) FOR KEY SHARE) a ON a.id = n.alert_id
RETURNING alert_id
"""

# alert_states.expire
_EXPIRE: Final = """
DELETE FROM alert_states WHERE id IN (
    SELECT id FROM alert_states
    WHERE state = 'resolved'
      AND resolved_at < $1::timestamptz
                        - make_interval(days => CASE WHEN fired_at IS NULL THEN $3::int ELSE $2::int END)
    ORDER BY resolved_at LIMIT $4)
"""
