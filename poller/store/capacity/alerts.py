"""Reads stored alerts and their history, and stores what a person does with an alert.

Whoever changes an alert waits for a running evaluation of the rules. Every change can be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.alerts import Alert, AlertChange, AlertState, Severity
from poller.core.errors import ConflictError
from poller.store.listing import containing
from poller.store.locks import Lock, lock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertFilter
    from poller.store.queries import Connection, Queries, Row

AlertKey = tuple[int, int, int]
"""Ranks of state and severity, and the id: the place of an alert in the list."""
_STATES: Final = tuple(AlertState)
_LISTED: Final = (
    AlertState.FIRING,
    AlertState.PENDING,
    AlertState.ACKNOWLEDGED,
    AlertState.SNOOZED,
    AlertState.RESOLVED,
)
_SEVERITIES: Final = tuple(Severity)


def key_of(alert: Alert) -> AlertKey:
    """The place of an alert in the list, to read the alerts after it."""
    return _LISTED.index(alert.state), _SEVERITIES.index(alert.severity), alert.id


async def read_alerts(
    database: Queries, which: AlertFilter, *, after: AlertKey | None = None, limit: int | None = None
) -> list[Alert]:
    """Returns alerts: firing ones first, then by severity, the newest first. `after`: those after this place."""
    arguments = [*_arguments(which), *(after or (None, None, None)), limit]
    return [alert_of(row) for row in await database.fetch(_READ, *arguments)]


async def count_alerts(database: Queries, visible_tags: Sequence[str] | None) -> Mapping[AlertState, int]:
    """Returns the number of alerts in each state, of orgs with one of these tags; None: of all."""
    tags = None if visible_tags is None else list(visible_tags)
    rows = await database.fetch(_COUNT, tags)
    found = {AlertState(row["state"]): row["alerts"] for row in rows}
    return {state: found.get(state, 0) for state in _STATES}


async def read_changes(
    database: Queries,
    alert_id: int | None,
    *,
    visible_tags: Sequence[str] | None = None,
    org_ids: Sequence[int] | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[AlertChange]:
    """Returns the history of an alert (None: of all), the newest change first. `before`: only smaller ids.

    `org_ids`: only of these orgs; None: of all. `since`: only changes from then on.
    """
    lists = (None if one is None else list(one) for one in (visible_tags, org_ids))
    rows = await database.fetch(_CHANGES, alert_id, *lists, since, before, limit)
    return [_change_of(row) for row in rows]


async def acknowledge(connection: Connection, alert_id: int, by: str, now: datetime) -> None:
    """Marks a firing or snoozed alert as taken in hand; does nothing if it is already."""
    await _change(connection, alert_id, AlertState.ACKNOWLEDGED, by, now)


async def unacknowledge(connection: Connection, alert_id: int, by: str, now: datetime) -> None:
    """Makes an acknowledged alert fire again, without a message; does nothing if it fires."""
    await _change(connection, alert_id, AlertState.FIRING, by, now)


async def snooze(connection: Connection, alert_id: int, until: datetime, by: str, now: datetime) -> None:
    """Silences an alert that fires until a time; a second call changes the time."""
    await _change(connection, alert_id, AlertState.SNOOZED, by, now, until=until)


async def unsnooze(connection: Connection, alert_id: int, by: str, now: datetime) -> None:
    """Ends a snooze, without a message; does nothing if the alert fires."""
    await _change(connection, alert_id, AlertState.FIRING, by, now)


async def _change(
    connection: Connection, alert_id: int, to: AlertState, by: str, now: datetime, *, until: datetime | None = None
) -> None:
    await lock(connection, Lock.ALERTS)
    row = await connection.fetchrow(_STATE, alert_id)
    if row is None:
        raise ConflictError(f"there is no alert {alert_id}", "`poller alerts` lists the alerts")
    state = AlertState(row["state"])
    if state in {AlertState.PENDING, AlertState.RESOLVED}:
        raise ConflictError(f"alert {alert_id} is {state}", "only an alert that fires can be changed")
    if state is to and row["snoozed_until"] == until:
        return
    detail = "" if until is None else f"until {until:%Y-%m-%d %H:%M} UTC"
    await connection.execute(_SET, alert_id, to, until, now, state, by, detail)


def alert_of(row: Row) -> Alert:
    """The alert of a row of `alerts`."""
    values: dict[str, Any] = dict(row)
    values["state"], values["severity"] = AlertState(row["state"]), Severity(row["severity"])
    return Alert(**values)


def _change_of(row: Row) -> AlertChange:
    values: dict[str, Any] = dict(row)
    values["from_state"] = None if row["from_state"] is None else AlertState(row["from_state"])
    values["to_state"] = AlertState(row["to_state"])
    return AlertChange(**values)


def _arguments(which: AlertFilter) -> list[Any]:
    lists = (which.states, which.rules, which.severities, which.tags, which.data_centers, which.orgs, which.alert_ids)
    optional = (which.visible_tags, which.org_ids)
    return [
        *(list(one) or None for one in lists),
        *(None if one is None else list(one) for one in optional),
        containing(which.search) if which.search else None,
        which.resolved_since,
    ]


_LISTED_SQL: Final = f"array_position(ARRAY{[state.value for state in _LISTED]}, a.state) - 1"
_SEVERITY_SQL: Final = f"array_position(ARRAY{[severity.value for severity in _SEVERITIES]}, a.severity) - 1"

# alerts.read
_READ: Final = f"""
SELECT a.* FROM alerts a LEFT JOIN orgs o ON o.id = a.org_id
WHERE ($1::text[] IS NULL OR a.state = ANY ($1)) AND ($2::text[] IS NULL OR a.rule = ANY ($2))
  AND ($3::text[] IS NULL OR a.severity = ANY ($3)) AND ($4::text[] IS NULL OR o.tags @> $4)
  AND ($5::text[] IS NULL OR o.data_center = ANY ($5)) AND ($6::text[] IS NULL OR o.name = ANY ($6))
  AND ($7::bigint[] IS NULL OR a.id = ANY ($7)) AND ($8::text[] IS NULL OR o.tags && $8)
  AND ($9::int[] IS NULL OR a.org_id = ANY ($9))
  AND ($10::text IS NULL OR concat_ws(' ', a.rule, a.org, a.subject, a.message) ILIKE $10)
  AND ($11::timestamptz IS NULL OR a.state <> 'resolved' OR a.resolved_at >= $11)
  AND ($12::int IS NULL OR ({_LISTED_SQL}, {_SEVERITY_SQL}, -a.id) > ($12, $13::int, -$14::bigint))
ORDER BY {_LISTED_SQL}, {_SEVERITY_SQL}, a.id DESC LIMIT $15
"""  # noqa: S608 - members of enumerations

# alerts.count
_COUNT: Final = """
SELECT a.state, count(*)::int AS alerts FROM alert_states a LEFT JOIN orgs o ON o.id = a.org_id
WHERE $1::text[] IS NULL OR o.tags && $1 GROUP BY a.state
"""

# alerts.changes
_CHANGES: Final = """
SELECT c.id, c.alert_id, a.rule, a.org, c.at, c.from_state, c.to_state, c.by, c.detail
FROM alert_changes c JOIN alerts a ON a.id = c.alert_id LEFT JOIN orgs o ON o.id = a.org_id
WHERE ($1::bigint IS NULL OR c.alert_id = $1) AND ($2::text[] IS NULL OR o.tags && $2)
  AND ($3::int[] IS NULL OR a.org_id = ANY ($3)) AND ($4::timestamptz IS NULL OR c.at >= $4)
  AND ($5::bigint IS NULL OR c.id < $5)
ORDER BY c.id DESC LIMIT $6
"""

# alerts.state
_STATE: Final = "SELECT state, snoozed_until FROM alert_states WHERE id = $1 FOR UPDATE"

# alerts.set
_SET: Final = """
WITH changed AS (UPDATE alert_states SET state = $2, snoozed_until = $3 WHERE id = $1 RETURNING id)
INSERT INTO alert_changes (alert_id, at, from_state, to_state, by, detail) SELECT id, $4, $5, $2, $6, $7 FROM changed
"""
