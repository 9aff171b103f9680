"""The variables of the dashboard of one org, and the values that stand for variables and macros outside Grafana."""

from __future__ import annotations

import re
from typing import Any, Final

from poller.core.model import USER_TYPES, UserType
from tools.grafana.panels import source

_SHOWN: Final = UserType.ACTIVE.value
"""The user type that is chosen at first."""

VARIABLES: Final[list[dict[str, Any]]] = [
    {
        "name": "org",
        "label": "Org",
        "type": "query",
        "datasource": source("grafana-postgresql-datasource"),
        "query": 'SELECT name AS "__text", id AS "__value" FROM orgs WHERE removed_at IS NULL ORDER BY name',
        "refresh": 1,
        "sort": 0,
    },
    {
        "name": "type",
        "label": "User type",
        "type": "custom",
        "multi": True,
        "query": ",".join(USER_TYPES),
        "options": [{"text": one, "value": one, "selected": one == _SHOWN} for one in USER_TYPES],
        "current": {"text": [_SHOWN], "value": [_SHOWN]},
    },
]


def with_values(query: str, org_id: int) -> str:
    """The query as Grafana sends it: an org, all user types and 90 days in the place of variables and macros."""
    query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '90 days' AND now()", query)
    types = ",".join(f"'{one}'" for one in USER_TYPES)
    return query.replace("${type:sqlstring}", types).replace("$org", str(org_id))
