"""Writes the audit log: who changed or saw what."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from poller.core.audit import AuditAction
from poller.store.access import audit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.callers import Caller
    from poller.store.database import Database


async def record(
    database: Database,
    caller: Caller,
    action: str,
    org_id: int | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Notes what a caller did. `detail`: more about it, never a secret."""
    await audit.insert_entry(database, caller, str(action), org_id, _plain(detail))


async def record_each(
    database: Database, caller: Caller, action: str, org_ids: Sequence[int], detail: Mapping[str, object] | None = None
) -> None:
    """Notes what a caller did to each of these orgs: an entry for each, so that each org's page and key show it."""
    await audit.insert_entries(database, caller, str(action), org_ids, _plain(detail))


async def record_seen(database: Database, caller: Caller, org_id: int | None) -> None:
    """Notes that a caller looked at an org, or at a list of all it may see; once per caller, org and day."""
    await audit.insert_entry(database, caller, AuditAction.SEEN, org_id, None)


def _plain(detail: Mapping[str, object] | None) -> dict[str, object] | None:
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in (detail or {}).items()
    }
    return plain or None
