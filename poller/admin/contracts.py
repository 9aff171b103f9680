"""What the contracts of orgs say about seats, as the operator enters it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.store.capacity.seats import Contract, set_contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.query.selection import Selection
    from poller.store.database import Database


async def set_contracts(database: Database, orgs: Selection, changes: Mapping[str, Any]) -> int:
    """Sets these columns of the contracts; None clears a column. How many contracts changed."""
    return await set_contract(database, list(await orgs.find(database)), Contract(changes))
