"""Reads firing alerts in groups: one for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries

_NAMED: Final = 3
"""Subjects that a group names."""


class AlertGroup(NamedTuple):
    """The firing alerts of one rule: how many, the first names, since when, and the message if there is only one."""

    rule: str
    metric: str
    severity: str
    alerts: int
    names: Sequence[str]
    since: datetime
    message: str | None
    remedy: str


async def firing_groups(database: Queries) -> list[AlertGroup]:
    """The groups of all orgs, the most urgent first, then the largest."""
    return [AlertGroup(*row) for row in await database.fetch(_GROUPS, _NAMED)]


# alert_groups.firing
_GROUPS: Final = """
SELECT r.name, r.metric, a.severity, count(*)::int AS alerts,
       (array_agg(coalesce(o.name, a.subject) ORDER BY a.fired_at DESC, a.id))[1:$1::int], min(a.fired_at),
       CASE WHEN count(*) = 1 THEN min(a.message) END, min(a.remedy)
FROM alert_states a JOIN alert_rules r ON r.id = a.rule_id LEFT JOIN orgs o ON o.id = a.org_id
WHERE a.state = 'firing'
GROUP BY r.name, r.metric, a.severity
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), alerts DESC, r.name
"""
