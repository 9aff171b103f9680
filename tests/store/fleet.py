"""Orgs for tests of the store, as in an import."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.core.org_entry import OrgEntry
from poller.core.secret import Secret
from poller.store.orgs.imports import import_orgs

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def entry(name: str, *, edition: str | None = None) -> OrgEntry:
    return OrgEntry(
        name=name,
        data_center="eu",
        client_id=f"1000.CLIENT-{name}",
        client_secret=Secret(f"client-secret-of-{name}"),
        refresh_token=Secret(f"1000.refresh-token-of-{name}"),
        edition=edition,
    )


async def added(database: Database, keyring: Keyring, *entries: OrgEntry) -> list[int]:
    """Imports these entries; returns the ids of the orgs."""
    await import_orgs(database, keyring, entries)
    rows = await database.fetch("SELECT id, name FROM orgs WHERE removed_at IS NULL")
    ids = {row["name"]: row["id"] for row in rows}
    return [ids[one.name] for one in entries]
