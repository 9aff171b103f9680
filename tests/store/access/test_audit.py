"""The audit log answers who did what to one org without reading the entries of the others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from poller.store.access.audit import operations_on

if TYPE_CHECKING:
    from poller.store.database import Database

_MANY = """
INSERT INTO audit (at, caller, source, action, org_id)
SELECT now() - n * interval '1 minute', 'noc', 'web', 'poll', o.id
FROM orgs o CROSS JOIN generate_series(1, 400) AS n
"""
_PLAN = """
EXPLAIN SELECT id FROM audit WHERE org_id = 3 AND at >= now() - interval '90 days'
AND action IN ('poll', 'pause', 'resume') ORDER BY at DESC, id DESC LIMIT 20
"""


async def test_the_operations_on_one_org_are_found_by_its_index_the_newest_first(database: Database) -> None:
    ids = await database.fetch(
        "INSERT INTO orgs (name, data_center) SELECT 'Org ' || n, 'eu' FROM generate_series(1, 50) AS n RETURNING id"
    )
    await database.execute(_MANY)
    await database.execute("ANALYZE audit")
    plan = "\n".join(row[0] for row in await database.fetch(_PLAN))
    assert "audit_org_idx" in plan
    now = database.clock.now()
    found = await operations_on(database, ids[7]["id"], now - timedelta(days=1), 3)
    assert [one.org_id for one in found] == [ids[7]["id"]] * 3
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
