"""Changes to orgs that need no secret: settings, names, pauses, removal and its reversal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from poller.admin.audit import record
from poller.core.audit import AuditAction
from poller.core.callers import COMMAND_LINE
from poller.core.errors import UsageError
from poller.core.states import State
from poller.store.orgs import changes, orgs as store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.org_changes import Restored
    from poller.core.profile import ProfileChange
    from poller.query.selection import Selection
    from poller.store.database import Database


_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Changed:
    """How many orgs were selected, and how many of those changed."""

    selected: int
    changed: int


async def set_profiles(database: Database, orgs: Selection, change: ProfileChange) -> Changed:
    """Changes settings and tags."""
    found = await orgs.find(database)
    changed = await changes.set_profiles(database, list(found), change)
    await _note(database, AuditAction.SET, found, changed)
    return Changed(len(found), changed)


async def rename(database: Database, old: str, new: str) -> None:
    """Gives an org, also a removed one, another name. A `UsageError` where it is unknown or the new name is taken."""
    await changes.rename(database, old, new)
    await record(database, COMMAND_LINE, AuditAction.RENAME, detail={"old": old, "new": new})


async def pause(database: Database, orgs: Selection) -> int:
    """Stops polling orgs until they are resumed; how many were paused."""
    found = await orgs.find(database)
    return await _note(
        database, AuditAction.PAUSE, found, await store.pause(database, [*found.values()], database.clock.now())
    )


async def resume(database: Database, orgs: Selection) -> int:
    """Polls paused and parked orgs again; how many."""
    found = await orgs.find(database)
    return await _note(
        database, AuditAction.RESUME, found, await store.resume(database, [*found.values()], database.clock.now())
    )


async def remove(database: Database, orgs: Selection) -> int:
    """Deletes the credentials of orgs, and keeps their names and history; how many were removed."""
    found = await orgs.find(database)
    return await _note(
        database, AuditAction.REMOVE, found, await store.remove(database, [*found.values()], database.clock.now())
    )


async def purge(database: Database, orgs: Selection) -> int:
    """Deletes orgs with their history, also removed ones; how many were purged."""
    found = await orgs.find(database, removed=True)
    return await _note(database, AuditAction.PURGE, found, await store.purge(database, [*found.values()]))


async def restore(database: Database, orgs: Selection) -> list[Restored]:
    """Brings removed orgs back, paused; a `UsageError` where none of the orgs is removed."""
    # A tag or data centre selects only removed orgs; a name selects an org in any state.
    among = orgs if orgs.names or orgs.states else replace(orgs, states=(State.REMOVED,))
    found = await among.find(database, removed=True)
    restored = await changes.restore(database, list(found), database.clock.now())
    if not restored:
        name = next(iter(found.values()), "")
        raise UsageError(f"the org {name!r} is not removed", "see removed orgs with `poller orgs list --state removed`")
    await _note(database, AuditAction.RESTORE, found, len(restored))
    return restored


async def _note(database: Database, action: AuditAction, selected: Mapping[int, str], changed: int) -> int:
    """Notes in the audit log how many of the selected orgs were changed, and the names of the first; the number."""
    if changed:
        detail = {"changed": changed, "selected": len(selected), "orgs": list(selected.values())[:_MOST_NAMED]}
        await record(database, COMMAND_LINE, action, next(iter(selected)) if len(selected) == 1 else None, detail)
    return changed
