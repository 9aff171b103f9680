"""Keeps two Zoho orgs out of one history: refuses or parks an org whose credentials belong to another Zoho org.

`identity` does the opposite: it keeps one Zoho org from having two names. When an org with a history gets new
credentials, the poller requests its zgid before any count. Until Zoho has answered, its `info_at` is the epoch, which
workers of the previous release treat as long ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.another_org import ANOTHER_ORG, remedy_for_another_org
from poller.core.errors import UsageError
from poller.core.model import COLUMNS, Outcome
from poller.store.orgs.parking import park

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from poller.core.model import Org
    from poller.store.database import Database
    from poller.store.queries import Connection, Row

HAS_HISTORY: Final = (
    f"EXISTS (SELECT FROM latest_snapshots l WHERE l.org_id = o.id AND num_nonnulls({', '.join(COLUMNS.values())}) > 0)"
)
"""SQL: whether any count of the org `o` was ever known."""


def refuse_other_zgids(found: Iterable[tuple[Row, str | None]]) -> None:
    """Raises a `UsageError` for an org with a history if an import gives it another zgid than the known one."""
    for row, said in found:
        if row["has_history"] and None not in (said, row["zgid"]) and said != row["zgid"]:
            name = row["name"]
            raise UsageError(
                f"{name!r} is the Zoho org with zgid {row['zgid']}, and the import says zgid {said}: two Zoho orgs "
                "would share one history",
                f"import the other one under a name of its own; if the customer has moved there, "
                f"`poller orgs set {name!r} --zgid {said}` first",
            )


async def park_as_another_org(database: Database, org: Org, said: str, now: datetime) -> str:
    """Parks an org because Zoho says that its credentials are those of the zgid `said`; returns the remedy."""
    remedy = remedy_for_another_org(org.name, org.zgid or "", said)
    await park(
        database,
        org.id,
        ANOTHER_ORG,
        remedy,
        now,
        outcome=Outcome.UNAUTHORIZED,
        first_probe_seconds=org.interval_seconds,
    )
    await database.execute(_UNPROVEN, org.id)
    return remedy


async def accept_zgids(connection: Connection, org_ids: Sequence[int]) -> None:
    """Unparks orgs whose zgid an operator changed; the poller requests their zgid before the next counts."""
    if org_ids:
        await connection.execute(_ACCEPT, list(org_ids), ANOTHER_ORG)


async def refuse_taken_zgid(connection: Connection, org_ids: Sequence[int], zgid: str) -> None:
    """Raises a `UsageError` if `zgid` is given to several orgs, or another org of the data centre has it."""
    if len(org_ids) > 1:
        raise UsageError(f"one zgid for {len(org_ids):,} orgs", "name the one org that has it")
    if (taken := await connection.fetchrow(_TAKEN, list(org_ids), zgid)) is not None:
        raise UsageError(
            f"{taken['name']!r} has the zgid of the org {taken['other']!r} then: one Zoho org under two names is "
            "polled and counted twice",
            "compare the two with `poller orgs show`, and remove the wrong one",
        )


# another_org.unproven: the poller requests the zgid before anything else.
_UNPROVEN: Final = "UPDATE orgs SET facts_at = 'epoch' WHERE id = $1"

# another_org.accept
_ACCEPT: Final = """
UPDATE orgs SET facts_at = CASE WHEN zgid IS NOT NULL THEN 'epoch'::timestamptz END,
                parked_at = CASE WHEN parked_code = $2 THEN NULL ELSE parked_at END,
                parked_code = nullif(parked_code, $2),
                parked_remedy = CASE WHEN parked_code = $2 THEN NULL ELSE parked_remedy END,
                parked_outcome = CASE WHEN parked_code = $2 THEN NULL ELSE parked_outcome END,
                probe_at = CASE WHEN parked_code = $2 THEN NULL ELSE probe_at END,
                probes = CASE WHEN parked_code = $2 THEN 0 ELSE probes END
WHERE id = ANY($1::int[])
"""

# another_org.taken
_TAKEN: Final = """
SELECT o.name, other.name AS other FROM orgs o JOIN orgs other ON other.data_center = o.data_center AND other.id <> o.id
WHERE o.id = ANY($1::int[]) AND other.zgid = $2 AND other.removed_at IS NULL LIMIT 1
"""
