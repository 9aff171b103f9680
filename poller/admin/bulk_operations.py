"""What a person does to all orgs of a filtered list at once: pause them, resume them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poller.admin.audit import record_each
from poller.core.audit import AuditAction
from poller.core.errors import ConflictError
from poller.store.fleet_ids import matching_ids
from poller.store.orgs.orgs import pause_ids, resume_ids, without_credentials

if TYPE_CHECKING:
    from poller.core.callers import Caller
    from poller.store.database import Database
    from poller.store.orgs.states import StateFilter


@dataclass(frozen=True, slots=True)
class BulkResult:
    """How many orgs matched, and how many were changed. `skipped`: those that cannot be resumed without credentials."""

    orgs: int
    changed: int
    skipped: int = 0


async def pause_matching(database: Database, caller: Caller, which: StateFilter, most: int) -> BulkResult:
    """Stops polling every org that matches; a `ConflictError` where these are more than `most`."""
    ids = await _matching(database, caller, which, most)
    changed = await pause_ids(database, ids, database.clock.now())
    await record_each(database, caller, AuditAction.PAUSE, changed, {"changed": True, "orgs": len(changed)})
    return BulkResult(len(ids), len(changed))


async def resume_matching(database: Database, caller: Caller, which: StateFilter, most: int) -> BulkResult:
    """Polls every paused or parked org that matches; a `ConflictError` where more than `most` match."""
    ids = await _matching(database, caller, which, most)
    without = set(await without_credentials(database, ids))
    changed = await resume_ids(database, [org_id for org_id in ids if org_id not in without], database.clock.now())
    await record_each(database, caller, AuditAction.RESUME, changed, {"changed": True, "orgs": len(changed)})
    return BulkResult(len(ids), len(changed), len(without))


async def _matching(database: Database, caller: Caller, which: StateFilter, most: int) -> list[int]:
    ids = await matching_ids(database, replace(which, visible_tags=caller.visible_tags))
    if len(ids) > most:
        what = f"{len(ids):,} orgs match now, and the page showed {most:,}: nothing was changed"
        raise ConflictError(what, "look at the list again, and repeat it")
    return ids
