"""Stores what the contracts of orgs say, many orgs at once, and compares it with import entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.contract import CONTRACT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.queries import Connection, Row

ATTRIBUTES: Final = {"purchased": "seats"}
"""Attributes of an entry by column, where the two have different names."""
JOIN: Final = "LEFT JOIN seat_contracts s ON s.org_id = o.id"
STORED: Final = ", ".join(f"s.{column} AS contract_{column}" for column in CONTRACT_COLUMNS)
"""The columns of `JOIN` that `contract_changes` reads."""


def contract_changes(row: Row | None, entry: OrgEntry) -> dict[str, Any]:
    """Returns the columns of a contract that an entry changes. Empty values clear; absent ones change nothing."""
    changes: dict[str, Any] = {}
    for column in CONTRACT_COLUMNS:
        attribute = ATTRIBUTES.get(column, column)
        wanted = getattr(entry, attribute)
        existing = None if row is None else row[f"contract_{column}"]
        if wanted != existing and (wanted is not None or attribute in entry.cleared):
            changes[column] = wanted
    return changes


async def put_contracts(connection: Connection, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Writes the given columns of contracts, by org id; skips orgs that no longer exist."""
    for column in CONTRACT_COLUMNS:
        values = {org_id: one[column] for org_id, one in changes.items() if column in one}
        if values:
            await connection.execute(_PUT[column], list(values), list(values.values()))


async def read_contract(database: Database, org_id: int) -> dict[str, Any] | None:
    """Returns the contract of an org by column, or None."""
    row = await database.fetchrow(_READ, org_id)
    found = None if row is None else dict(row)
    return found if found and any(value is not None for value in found.values()) else None


_TYPES: Final = {"purchased": "integer", "price": "numeric", "currency": "text", "renews_on": "date"}

# contracts.put
_PUT: Final = {
    column: f"""
INSERT INTO seat_contracts (org_id, {column}, updated_at)
SELECT o.id, new.value, now()
FROM unnest($1::int[], $2::{sql_type}[]) AS new (org_id, value)
JOIN (SELECT id FROM orgs WHERE id = ANY($1::int[]) FOR KEY SHARE) o ON o.id = new.org_id
ON CONFLICT (org_id) DO UPDATE SET {column} = excluded.{column}, updated_at = now()
"""  # noqa: S608 - names of the model
    for column, sql_type in _TYPES.items()
}

# contracts.read
_READ: Final = f"SELECT {', '.join(CONTRACT_COLUMNS)} FROM seat_contracts WHERE org_id = $1"  # noqa: S608 - the same
