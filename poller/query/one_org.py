"""One org for a page or the API: its state, limits and last counts, without anything secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.remedies import remedy_of_state
from poller.query.lists import counts_of
from poller.store.orgs.visible import find_visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database

_AS_THEY_ARE: Final = (
    "state",
    "state_reason",
    "since",
    "data_center",
    "zgid",
    "edition",
    "licences",
    "api_version",
    "created_at",
    "interval_seconds",
    "effective_interval_seconds",
    "last_polled_at",
    "last_outcome",
    "last_error",
    "counts_at",
    "probe_at",
)
_LIMITS: Final = ("credits_spent", "credits_share", "credits_remaining", "credits_remaining_at", "hold_until")


async def org_fields(database: Database, org_id: int, *, visible_tags: Sequence[str] | None) -> dict[str, Any] | None:
    """One org as JSON; None where the caller sees no such org."""
    row = await find_visible(database, org_id, visible_tags)
    if row is None:
        return None
    return {
        "id": row["org_id"],
        "name": row["org"],
        "remedy": remedy_of_state(row["state"], row["state_reason"], row["parked_remedy"]),
        "tags": list(row["tags"]),
        **{name: row[name] for name in _AS_THEY_ARE},
        "limits": {name: row[name] for name in _LIMITS},
        "counts": counts_of(row),
    }
