"""Selects orgs by names, tags, states and data centres, combined with AND."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.core.errors import UsageError
from poller.core.states import State
from poller.store.orgs.names import ids_by_name
from poller.store.orgs.selection import find_selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class Selection:
    """Every org, unless something is given. An org must have all `tags`, and be in one of `states`."""

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    data_centers: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether every org is selected."""
        return not (self.names or self.is_filter)

    @property
    def is_filter(self) -> bool:
        """Whether orgs are selected by anything other than names."""
        return bool(self.tags or self.states or self.data_centers)

    def __str__(self) -> str:
        """The options of the command line that make this selection."""
        given = {"--tag": self.tags, "--state": self.states, "--data-center": self.data_centers}
        return " ".join(f"{option} {value}" for option, values in given.items() for value in values)

    async def named_ids(
        self, database: Database, *, removed: bool = False, visible_tags: Sequence[str] | None = None
    ) -> list[int]:
        """The ids of the names given; a name that the caller may not see is unknown."""
        found = await ids_by_name(database, self.names, removed=removed, visible_tags=visible_tags)
        return list(found.values())

    async def find(self, database: Database, *, removed: bool = False) -> dict[int, str]:
        """The ids and names of the selected orgs, in the order of the names given, else by name.

        A `UsageError` where a name is unknown or nothing matches. `removed`: removed orgs are found by their name.
        """
        removed = removed or State.REMOVED in self.states
        named = await ids_by_name(database, self.names, removed=removed) if self.names else None
        found = await find_selected(
            database,
            org_ids=None if named is None else list(named.values()),
            tags=self.tags,
            states=self.states,
            data_centers=self.data_centers,
            removed=removed and (bool(self.names) or State.REMOVED in self.states),
        )
        if self.is_filter and not found:
            raise self.nothing_found()
        return found if named is None else {org_id: found[org_id] for org_id in named.values() if org_id in found}

    def nothing_found(self) -> UsageError:
        """The error for a filter that no org matches."""
        which = "none of these orgs matches" if self.names else "no org matches"
        return UsageError(f"{which} {self}", "see `poller orgs list`")

    async def pollable(self, database: Database) -> list[str] | None:
        """The names of the orgs to poll or check; None for every active org.

        Named orgs may be paused; orgs selected by tags, states or data centres are left out while paused.
        """
        if self.is_everything:
            return None
        found = await self.find(database)
        if not self.names and State.PAUSED not in self.states:
            paused = await find_selected(
                database, org_ids=list(found), tags=(), states=(State.PAUSED,), data_centers=(), removed=False
            )
            found = {org_id: name for org_id, name in found.items() if org_id not in paused}
        return list(found.values())

    async def ids(self, database: Database, *, removed: bool = False) -> list[int] | None:
        """The ids of the selected orgs; None for every org."""
        return None if self.is_everything else list(await self.find(database, removed=removed))
