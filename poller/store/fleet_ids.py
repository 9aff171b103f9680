"""Finds the ids of all orgs of a filtered list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.model import UserType
from poller.store.fleet_filter import Arguments, conditions, joins

if TYPE_CHECKING:
    from poller.store.orgs.states import StateFilter
    from poller.store.queries import Queries


async def matching_ids(queries: Queries, which: StateFilter) -> list[int]:
    """Returns the ids of the orgs that match."""
    arguments = Arguments()
    where = " AND ".join(conditions(which, arguments))
    joined = joins(("state",), UserType.ACTIVE) if which.states else ""
    # fleet_ids.matching
    rows = await queries.fetch(f"SELECT o.id FROM orgs o {joined} WHERE {where} ORDER BY o.id", *arguments.values)  # noqa: S608
    return [row["id"] for row in rows]
