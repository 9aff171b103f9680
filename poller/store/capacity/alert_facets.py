"""Counts alerts for the Alerts page: those that fire, and how many there are of each state, severity, rule and tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries


class AlertFacet(NamedTuple):
    """A value of a facet (`state`, `severity`, `rule`, `tag`), and how many alerts have it."""

    facet: str
    value: str
    alerts: int


async def count_firing(database: Queries, visible_tags: Sequence[str] | None) -> int:
    """Returns how many alerts fire, of orgs with one of these tags; None: of all."""
    rows = await database.fetch(_FIRING, None if visible_tags is None else list(visible_tags))
    return int(rows[0]["alerts"])


async def count_firing_by_rule(database: Queries, visible_tags: Sequence[str] | None) -> list[AlertFacet]:
    """Returns how many alerts of each rule fire, of orgs with one of these tags; None: of all."""
    return [
        AlertFacet(*row) for row in await database.fetch(_BY_RULE, None if visible_tags is None else list(visible_tags))
    ]


async def read_alert_facets(
    database: Queries, visible_tags: Sequence[str] | None, resolved_since: datetime
) -> list[AlertFacet]:
    """Returns the values of each facet among open alerts and those resolved since then, the most alerts first."""
    tags = None if visible_tags is None else list(visible_tags)
    return [AlertFacet(*row) for row in await database.fetch(_FACETS, tags, resolved_since)]


# alert_facets.firing
_FIRING: Final = """
SELECT count(*)::int AS alerts FROM alert_states a LEFT JOIN orgs o ON o.id = a.org_id
WHERE a.state <> 'resolved' AND a.state = 'firing' AND ($1::text[] IS NULL OR o.tags && $1)
"""

# alert_facets.by_rule
_BY_RULE: Final = """
SELECT 'rule', r.name, count(*)::int FROM alert_states a
JOIN alert_rules r ON r.id = a.rule_id LEFT JOIN orgs o ON o.id = a.org_id
WHERE a.state <> 'resolved' AND a.state = 'firing' AND ($1::text[] IS NULL OR o.tags && $1) GROUP BY r.name
"""

# alert_facets.counts
_FACETS: Final = """
WITH found AS MATERIALIZED (
    SELECT a.state, a.severity, r.name AS rule, o.tags
    FROM alert_states a JOIN alert_rules r ON r.id = a.rule_id LEFT JOIN orgs o ON o.id = a.org_id
    WHERE (a.state <> 'resolved' OR a.resolved_at >= $2) AND ($1::text[] IS NULL OR o.tags && $1)
)
SELECT 'state' AS facet, state AS value, count(*)::int AS alerts FROM found GROUP BY state
UNION ALL SELECT 'severity', severity, count(*)::int FROM found GROUP BY severity
UNION ALL SELECT 'rule', rule, count(*)::int FROM found GROUP BY rule
UNION ALL SELECT 'tag', tag, count(*)::int FROM found, unnest(tags) AS tag GROUP BY tag
ORDER BY alerts DESC, value
"""
