"""Reads the audit log, and who used which access key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.store.access.audit import list_entries, refused_log_ins
from poller.store.access.keys import list_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.access_key import AccessKey
    from poller.core.audit import AuditEntry
    from poller.store.database import Database

COLUMNS: Final = ("id", "at", "key_id", "caller", "source", "action", "org_id", "org", "detail")
_REFUSED_WITHIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AccessKeyUse:
    """Keys in use, those used last first; and by source, log-ins that were refused within a day."""

    keys: Sequence[AccessKey]
    refused: Sequence[tuple[str, int, datetime]]
    """Source, how many, and when the last one was."""


async def audit_entries(
    database: Database,
    since: datetime,
    *,
    visible_tags: Sequence[str] | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[AuditEntry]:
    """The entries since a time, the newest first. `before`: the id of the last entry of the page before.

    A caller with tags gets the entries about its orgs alone.
    """
    return await list_entries(database, since, visible_tags=visible_tags, before=before, limit=limit)


def audit_facts(entry: AuditEntry) -> dict[str, Any]:
    """An entry as an object for JSON."""
    return {name: getattr(entry, name) for name in COLUMNS}


async def read_key_use(database: Database, now: datetime) -> AccessKeyUse:
    """Who used which key lately, and whose log-ins were refused. Only for callers that see every org."""
    keys = [key for key in await list_keys(database) if key.revoked_at is None]
    keys.sort(key=lambda key: (key.last_used_at is not None, key.last_used_at or key.created_at), reverse=True)
    return AccessKeyUse(keys, await refused_log_ins(database, now - _REFUSED_WITHIN))
