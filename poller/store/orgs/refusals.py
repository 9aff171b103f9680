"""Earlier outcomes of an org, and those of other orgs in its data centre: is the org at fault, or the data centre?

Read only after Zoho refused a poll, so these queries may read a few hundred rows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.health import Refusals
from poller.core.model import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database

LOOK_BACK: Final = timedelta(days=7)
_SAMPLE: Final = 300
"""Orgs of a data centre that are read: if the data centre fails, it fails for all of them."""


async def outcome_before(database: Database, org_id: int, slot: datetime) -> Outcome | None:
    """Returns the outcome of the org's last poll before `slot` that was answered or refused; None if none is recent."""
    # refusals.outcome_before
    found: str | None = await database.fetchval(
        """
        SELECT outcome FROM org_snapshots
        WHERE org_id = $1 AND slot < $2 AND slot >= $3 AND requests > 0
          AND outcome IN ('ok', 'partial', 'unauthorized', 'forbidden')
        ORDER BY slot DESC LIMIT 1
        """,
        org_id,
        slot,
        slot - LOOK_BACK,
    )
    return None if found is None else Outcome(found)


async def refusals_of(database: Database, data_center: str, since: datetime) -> Refusals:
    """Counts refused and answered orgs of a data centre, by their newest poll since then; without parked orgs."""
    # refusals.of_data_center: a sample of orgs, the newest first, each with one look-up by key.
    row = await database.fetchrow(
        """
        SELECT count(*) FILTER (WHERE s.outcome = 'unauthorized')::int AS refused,
               count(*) FILTER (WHERE s.outcome IN ('ok', 'partial'))::int AS answered
        FROM (SELECT id FROM orgs
              WHERE data_center = $1 AND removed_at IS NULL AND paused_at IS NULL AND parked_at IS NULL
              ORDER BY id DESC LIMIT $3) AS o
             CROSS JOIN LATERAL (
                 SELECT outcome FROM org_snapshots
                 WHERE org_id = o.id AND slot >= $2 AND requests > 0 ORDER BY slot DESC LIMIT 1
             ) AS s
        """,
        data_center,
        since,
        _SAMPLE,
    )
    return Refusals() if row is None else Refusals(row["refused"], row["answered"])
