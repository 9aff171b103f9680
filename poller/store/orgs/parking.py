"""Parks orgs that need a person, and unparks them.

A parked org is probed after one interval, then less and less often: each time after twice as long, at most daily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from poller.core.model import Outcome
    from poller.store.database import Database

FIRST_PROBE_SECONDS: Final = 3_600
"""The time to the first probe of an org whose interval is not given."""
LAST_PROBE_SECONDS: Final = 86_400
"""The longest time between two probes."""


async def park(
    database: Database,
    org_id: int,
    code: str,
    remedy: str,
    now: datetime,
    *,
    outcome: Outcome,
    first_probe_seconds: float = FIRST_PROBE_SECONDS,
    lease_holder: UUID | None = None,
) -> None:
    """Parks an org: records what a person must repair, and how. The org is probed less and less often.

    `outcome`: of the poll that parks the org; the rows of the slots in which it stays parked have the same outcome.
    `lease_holder`: parks only while the org's lease is this holder's. New credentials end a lease.
    """
    # parking.park: the first time, or again after a probe. Before the next probe is due only the reason changes: when
    # ten workers find the same fault at once, only one of them moves the next probe.
    await database.execute(
        """
        UPDATE orgs SET
            parked_at = coalesce(parked_at, $4), parked_code = $2, parked_remedy = $3, parked_outcome = $8,
            probe_at = CASE WHEN probe_at > $4 THEN probe_at
                            ELSE $4 + make_interval(secs => least($5 * 2 ^ least(probes, 16), $6)) END,
            probes = CASE WHEN probe_at > $4 THEN probes ELSE least(probes + 1, 1000) END
        WHERE id = $1 AND removed_at IS NULL
          AND ($7::uuid IS NULL OR EXISTS (SELECT FROM access_tokens WHERE org_id = $1 AND lease_holder = $7))
        """,
        org_id,
        code,
        remedy,
        now,
        float(min(first_probe_seconds, LAST_PROBE_SECONDS)),
        float(LAST_PROBE_SECONDS),
        lease_holder,
        outcome.value,
    )


async def unpark(database: Database, org_id: int) -> bool:
    """Unparks an org after a successful probe; returns whether it was parked."""
    # parking.unpark
    status = await database.execute(
        """
        UPDATE orgs SET parked_at = NULL, parked_code = NULL, parked_remedy = NULL, parked_outcome = NULL,
                        probe_at = NULL, probes = 0
        WHERE id = $1 AND parked_at IS NOT NULL
        """,
        org_id,
    )
    return status != "UPDATE 0"
