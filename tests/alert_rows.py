"""Alerts of every state, written as an evaluation of the rules writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from poller.store.database import Database

_INSERT: Final = """
INSERT INTO alert_states (rule_id, org_id, user_type, subject, state, severity, since, fired_at, counted_from,
                          resolved_at, snoozed_until, value, threshold, message, remedy, resolved_reason)
SELECT id, $2, $3, $4, $5, $6, now() - interval '3 hours',
       CASE WHEN $5 <> 'pending' THEN now() - interval '2 hours' END, now(),
       CASE WHEN $5 = 'resolved' THEN now() - $7::float * interval '1 hour' END,
       CASE WHEN $5 = 'snoozed' THEN now() + interval '1 day' END, 97, threshold, $8, $9,
       CASE WHEN $5 = 'resolved' THEN 'it is over' END
FROM alert_rules WHERE name = $1 AND removed_at IS NULL RETURNING id
"""


async def add_alert(
    database: Database,
    rule: str,
    org_id: int | None,
    state: str = "firing",
    *,
    severity: str = "warning",
    user_type: str = "",
    subject: str = "",
    message: str = "97 of 100 seats are used",
    remedy: str = "buy seats",
    resolved_hours_ago: float = 1,
) -> int:
    """Writes an alert of this rule and the change that made it fire; returns its number."""
    alert_id: Any = await database.fetchval(
        _INSERT, rule, org_id, user_type, subject, state, severity, resolved_hours_ago, message, remedy
    )
    await database.execute(
        "INSERT INTO alert_changes (alert_id, at, to_state, by, detail) VALUES ($1, now(), $2, 'poller', 'it holds')",
        alert_id,
        state,
    )
    return int(alert_id)
