"""Stores alert rules and exclusions. Whoever changes them waits for a running evaluation of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.alerts import AlertRule, Exclusion, QuietHours, Severity
from poller.core.errors import ConflictError
from poller.store.locks import Lock, lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Connection, Queries, Row

REMOVED: Final = "the rule was removed"
CHANGED: Final = "the rule watches another metric now"


async def list_rules(
    database: Queries, *, removed: bool = False, visible_tags: Sequence[str] | None = None
) -> list[AlertRule]:
    """Returns the rules by name; with `removed`, those that were removed too.

    With `visible_tags`, only the rules of alerts and exclusions about orgs with one of them.
    """
    visible = None if visible_tags is None else list(visible_tags)
    return [_rule(row) for row in await database.fetch(_LIST, removed, visible)]


async def save_rule(connection: Connection, rule: AlertRule, now: datetime) -> int:
    """Inserts the rule if its id is 0, else changes it; returns its id.

    Raises `ConflictError` if another rule has the name, or if the rule was removed. Open alerts of a rule that now
    watches another metric are resolved.
    """
    await lock(connection, Lock.ALERTS)
    if await connection.fetchval(_TAKEN, rule.name, rule.id):
        raise ConflictError(f"a rule named {rule.name} exists", "choose another name, or change that rule")
    quiet = (None, None, None) if rule.quiet is None else (rule.quiet.start, rule.quiet.end, rule.quiet.zone)
    values: tuple[Any, ...] = (
        rule.name,
        rule.metric,
        rule.comparison,
        rule.threshold,
        rule.for_seconds,
        rule.clear_seconds,
        rule.severity.value,
        list(rule.org_ids),
        list(rule.tags),
        list(rule.data_centers),
        *quiet,
        rule.enabled,
        now,
    )
    if rule.id == 0:
        new: int = await connection.fetchval(_INSERT, *values)
        return new
    watched = await connection.fetchval(_METRIC, rule.id)
    if watched is None:
        raise ConflictError(f"rule {rule.name} was removed", "add a new rule")
    if watched != rule.metric:
        await resolve_open(connection, rule.id, CHANGED, now)
    await connection.execute(_UPDATE, *values, rule.id)
    return rule.id


async def remove_rule(connection: Connection, name: str, now: datetime, *, by: str = "poller") -> bool:
    """Removes the rule of this name and resolves its open alerts; returns whether there was one."""
    await lock(connection, Lock.ALERTS)
    rule_id: int | None = await connection.fetchval(_REMOVE, name, now)
    if rule_id is None:
        return False
    await resolve_open(connection, rule_id, REMOVED, now, by=by)
    return True


async def restore_rule(connection: Connection, rule_id: int, now: datetime) -> None:
    """Brings back a removed rule, with its settings and addresses; its conditions are evaluated again."""
    await lock(connection, Lock.ALERTS)
    await connection.execute(_RESTORE, rule_id, now)


async def resolve_open(connection: Connection, rule_id: int, reason: str, now: datetime, *, by: str = "poller") -> None:
    """Resolves the open alerts of a rule without a message."""
    await connection.execute(_RESOLVE, rule_id, reason, now, by)


async def list_exclusions(
    database: Queries,
    *,
    org_ids: Sequence[int] | None = None,
    orgs: Sequence[str] = (),
    rules: Sequence[str] = (),
    after: int = 0,
    limit: int | None = None,
) -> list[Exclusion]:
    """Returns the exclusions whose id is greater than `after`, the oldest first, with those whose time is over.

    `org_ids`: only exclusions of these orgs; `orgs` and `rules`: only of these names.
    """
    which = None if org_ids is None else list(org_ids)
    rows = await database.fetch(_EXCLUSIONS, which, list(orgs) or None, list(rules) or None, after, limit)
    return [Exclusion(**row) for row in rows]


async def save_exclusion(connection: Connection, exclusion: Exclusion, now: datetime) -> int:
    """Stores an exclusion in place of one with the same rule, org and user type; returns its id.

    The next evaluation resolves the open alerts it matches.
    """
    await lock(connection, Lock.ALERTS)
    one = exclusion
    saved: int = await connection.fetchval(
        _EXCLUDE, one.rule_id, one.org_id, one.user_type, one.reason, one.until, now, one.created_by
    )
    return saved


async def delete_exclusion(connection: Connection, exclusion_id: int) -> bool:
    """Deletes an exclusion; returns whether there was one."""
    await lock(connection, Lock.ALERTS)
    return await connection.fetchval(_INCLUDE, exclusion_id) is not None


def _rule(row: Row) -> AlertRule:
    quiet = None if row["quiet_zone"] is None else QuietHours(row["quiet_from"], row["quiet_until"], row["quiet_zone"])
    return AlertRule(
        id=row["id"],
        name=row["name"],
        metric=row["metric"],
        comparison=row["comparison"],
        threshold=row["threshold"],
        for_seconds=row["for_seconds"],
        clear_seconds=row["clear_seconds"],
        severity=Severity(row["severity"]),
        org_ids=tuple(row["org_ids"]),
        tags=tuple(row["tags"]),
        data_centers=tuple(row["data_centers"]),
        quiet=quiet,
        enabled=row["enabled"],
    )


# alert_rules.list
_LIST: Final = """
SELECT id, name, metric, comparison, threshold, for_seconds, clear_seconds, severity, org_ids, tags, data_centers,
       quiet_from, quiet_until, quiet_zone, enabled
FROM alert_rules r
WHERE ($1 OR removed_at IS NULL) AND ($2::text[] IS NULL OR EXISTS (
    SELECT FROM alert_states a JOIN orgs o ON o.id = a.org_id WHERE a.rule_id = r.id AND o.tags && $2) OR EXISTS (
    SELECT FROM alert_exclusions e JOIN orgs o ON o.id = e.org_id WHERE e.rule_id = r.id AND o.tags && $2))
ORDER BY name, id
"""

# alert_rules.taken
_TAKEN: Final = "SELECT true FROM alert_rules WHERE name = $1 AND id <> $2 AND removed_at IS NULL"

# alert_rules.insert
_INSERT: Final = """
INSERT INTO alert_rules (name, metric, comparison, threshold, for_seconds, clear_seconds, severity, org_ids, tags,
                         data_centers, quiet_from, quiet_until, quiet_zone, enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15) RETURNING id
"""

# alert_rules.metric
_METRIC: Final = "SELECT metric FROM alert_rules WHERE id = $1 AND removed_at IS NULL FOR UPDATE"

# alert_rules.update
_UPDATE: Final = """
UPDATE alert_rules SET name = $1, metric = $2, comparison = $3, threshold = $4, for_seconds = $5, clear_seconds = $6,
    severity = $7, org_ids = $8, tags = $9, data_centers = $10, quiet_from = $11, quiet_until = $12, quiet_zone = $13,
    enabled = $14, updated_at = $15
WHERE id = $16
"""

# alert_rules.remove
_REMOVE: Final = """
UPDATE alert_rules SET removed_at = $2, updated_at = $2 WHERE name = $1 AND removed_at IS NULL RETURNING id
"""

# alert_rules.restore
_RESTORE: Final = "UPDATE alert_rules SET removed_at = NULL, updated_at = $2 WHERE id = $1"

# alert_rules.resolve: without `clear_since`, so that these alerts are not reopened.
_RESOLVE: Final = """
WITH open AS (
    SELECT id, state FROM alert_states WHERE rule_id = $1 AND state <> 'resolved'
), resolved AS (
    UPDATE alert_states a SET state = 'resolved', resolved_at = $3, resolved_reason = $2, snoozed_until = NULL,
        clear_since = NULL, unknown_since = NULL, announced = false
    FROM open WHERE a.id = open.id
)
INSERT INTO alert_changes (alert_id, at, from_state, to_state, by, detail)
SELECT id, $3, state, 'resolved', $4, $2 FROM open
"""

# alert_rules.exclusions
_EXCLUSIONS: Final = """
SELECT e.id, e.rule_id, e.org_id, e.user_type, e.reason, e.until, e.created_by, r.name AS rule, o.name AS org
FROM alert_exclusions e LEFT JOIN alert_rules r ON r.id = e.rule_id LEFT JOIN orgs o ON o.id = e.org_id
WHERE ($1::int[] IS NULL OR e.org_id = ANY($1)) AND ($2::text[] IS NULL OR o.name = ANY($2))
  AND ($3::text[] IS NULL OR r.name = ANY($3)) AND e.id > $4
ORDER BY e.id LIMIT $5
"""

# alert_rules.exclude
_EXCLUDE: Final = """
INSERT INTO alert_exclusions (rule_id, org_id, user_type, reason, until, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (rule_id, org_id, user_type) DO UPDATE SET reason = excluded.reason, until = excluded.until,
    created_at = excluded.created_at, created_by = excluded.created_by
RETURNING id
"""

# alert_rules.include
_INCLUDE: Final = "DELETE FROM alert_exclusions WHERE id = $1 RETURNING id"
