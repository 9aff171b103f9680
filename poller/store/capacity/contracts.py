"""Contracts of many orgs at once, as an import writes them: what differs, and how it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.contract import CONTRACT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.queries import Connection, Record

ATTRIBUTES: Final = {"purchased": "seats"}
"""The attributes of entries that are called otherwise than their columns."""
JOIN: Final = "LEFT JOIN seat_contracts s ON s.org_id = o.id"
STORED: Final = ", ".join(f"s.{column} AS contract_{column}" for column in CONTRACT_COLUMNS)
"""What `JOIN` brings for `contract_changes`."""


def contract_changes(row: Record | None, entry: OrgEntry) -> dict[str, Any]:
    """What an entry changes of a contract, by column: values replace, empty ones clear, absent ones leave it."""
    changes: dict[str, Any] = {}
    for column in CONTRACT_COLUMNS:
        attribute = ATTRIBUTES.get(column, column)
        said = getattr(entry, attribute)
        held = None if row is None else row[f"contract_{column}"]
        if said != held and (said is not None or attribute in entry.cleared):
            changes[column] = said
    return changes


async def put_contracts(connection: Connection, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Changes the contracts of orgs by id, each column that is named; orgs that are gone are passed over."""
    for column in CONTRACT_COLUMNS:
        values = {org_id: one[column] for org_id, one in changes.items() if column in one}
        if values:
            await connection.execute(_PUT[column], list(values), list(values.values()))


async def read_contract(database: Database, org_id: int) -> dict[str, Any] | None:
    """What the contract of an org says, by column; None where there is none."""
    row = await database.fetchrow(_READ, org_id)
    found = None if row is None else dict(row)
    return found if found and any(value is not None for value in found.values()) else None


_TYPES: Final = {"purchased": "integer", "price": "numeric", "currency": "text", "renews_on": "date"}

# contracts.put
_PUT: Final = {
    column: f"""
INSERT INTO seat_contracts (org_id, {column}, updated_at)
SELECT o.id, new.value, now()
FROM unnest($1::int[], $2::{kind}[]) AS new (org_id, value)
JOIN (SELECT id FROM orgs WHERE id = ANY($1::int[]) FOR KEY SHARE) o ON o.id = new.org_id
ON CONFLICT (org_id) DO UPDATE SET {column} = excluded.{column}, updated_at = now()
"""  # noqa: S608 - names of the model
    for column, kind in _TYPES.items()
}

# contracts.read
_READ: Final = f"SELECT {', '.join(CONTRACT_COLUMNS)} FROM seat_contracts WHERE org_id = $1"  # noqa: S608 - the same
