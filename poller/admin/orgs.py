"""Changes to orgs that need no secret: settings, names, pauses, removal and its reversal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poller.core.errors import UsageError
from poller.core.states import State
from poller.store.orgs import changes, orgs as store

if TYPE_CHECKING:
    from poller.core.org_changes import Restored
    from poller.core.profile import ProfileChange
    from poller.query.selection import Selection
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class Changed:
    """How many orgs were selected, and how many of those changed."""

    selected: int
    changed: int


async def set_profiles(database: Database, orgs: Selection, change: ProfileChange) -> Changed:
    """Changes settings and tags."""
    found = await orgs.find(database)
    return Changed(len(found), await changes.set_profiles(database, list(found), change))


async def rename(database: Database, old: str, new: str) -> None:
    """Gives an org, also a removed one, another name. A `UsageError` where it is unknown or the new name is taken."""
    await changes.rename(database, old, new)


async def pause(database: Database, orgs: Selection) -> int:
    """Stops polling orgs until they are resumed; how many were paused."""
    return await store.pause(database, await _names(database, orgs), database.clock.now())


async def resume(database: Database, orgs: Selection) -> int:
    """Polls paused and parked orgs again; how many."""
    return await store.resume(database, await _names(database, orgs), database.clock.now())


async def remove(database: Database, orgs: Selection) -> int:
    """Deletes the credentials of orgs, and keeps their names and history; how many were removed."""
    return await store.remove(database, await _names(database, orgs), database.clock.now())


async def purge(database: Database, orgs: Selection) -> int:
    """Deletes orgs with their history, also removed ones; how many were purged."""
    return await store.purge(database, await _names(database, orgs, removed=True))


async def restore(database: Database, orgs: Selection) -> list[Restored]:
    """Brings removed orgs back, paused; a `UsageError` where none of the orgs is removed."""
    # A tag or data centre selects only removed orgs; a name selects an org in any state.
    among = orgs if orgs.names else replace(orgs, states=(State.REMOVED,))
    found = await among.find(database, removed=True)
    restored = await changes.restore(database, list(found), database.clock.now())
    if not restored:
        name = next(iter(found.values()), "")
        raise UsageError(f"the org {name!r} is not removed", "see removed orgs with `poller orgs list --state removed`")
    return restored


async def _names(database: Database, orgs: Selection, *, removed: bool = False) -> list[str]:
    return list((await orgs.find(database, removed=removed)).values())
