"""Changes of orgs that need no secret: settings, tags, names, org info from Zoho, and restoring removed orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.core.names import normal_name
from poller.core.org_changes import Restored
from poller.core.profile import ProfileChange, changed, differences, limits_differ
from poller.store.locks import Lock, lock
from poller.store.orgs.another_org import accept_zgids, refuse_taken_zgid
from poller.store.orgs.names import ids_by_name
from poller.store.orgs.profiles import COLUMNS, change_profiles, profile_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.database import Database


async def set_profiles(database: Database, org_ids: Sequence[int], change: ProfileChange) -> int:
    """Changes settings and tags of orgs; returns how many orgs changed."""
    async with database.transaction() as connection:
        rows = await connection.fetch(_PROFILES, list(org_ids))
        before = {row["id"]: profile_of(row) for row in rows}
        after = {org_id: changed(profile, change) for org_id, profile in before.items()}
        different = {org_id: profile for org_id, profile in after.items() if profile != before[org_id]}
        refresh_info = [org_id for org_id in different if limits_differ(before[org_id], after[org_id])]
        if change.zgid is not None and different:
            await lock(connection, Lock.IMPORTS)
            await refuse_taken_zgid(connection, list(before), change.zgid)
        await change_profiles(connection, different, refresh_info)
        await accept_zgids(connection, [one for one in different if before[one].zgid != after[one].zgid])
    return sum(bool(differences(before[org_id], after[org_id])) or org_id in refresh_info for org_id in different)


async def rename(database: Database, old: str, new: str) -> None:
    """Renames an org, removed ones too; raises `UsageError` if another org has the name."""
    name = normal_name(new)
    org_id = (await ids_by_name(database, [old], removed=True))[old]
    async with database.transaction() as connection:
        # As imports do: no import may take the name before this transaction ends.
        await lock(connection, Lock.IMPORTS)
        if (taken := await connection.fetchrow(_TAKEN, name, org_id)) is not None:
            which = "a removed org" if taken["removed_at"] else "an org"
            raise UsageError(f"there is {which} {name!r} already", "choose another name, or rename that org first")
        await connection.execute(_RENAME, org_id, name)


async def restore(database: Database, org_ids: Sequence[int], now: datetime) -> list[Restored]:
    """Restores removed orgs with their history, tags and settings, paused until they get credentials."""
    async with database.transaction() as connection:
        await lock(connection, Lock.IMPORTS)
        if (taken := await connection.fetchrow(_TAKEN_AGAIN, list(org_ids))) is not None:
            raise UsageError(
                f"another org has the name {taken['name']!r} now",
                f"rename it first: `poller orgs rename '{taken['name']}' …`",
            )
        rows = await connection.fetch(_RESTORE, list(org_ids), now)
    return [Restored(row["name"], row["removed_grant"]) for row in rows]


async def is_org_info_newer(database: Database, org_id: int, since: datetime) -> bool:
    """Returns whether org info was read after `since`; False for an org that is gone."""
    # changes.is_org_info_newer
    newer: bool | None = await database.fetchval("SELECT facts_at > $2 FROM orgs WHERE id = $1", org_id, since)
    return bool(newer)


async def update_org_info(
    database: Database, org_id: int, now: datetime, *, zgid: str | None, edition: str | None, licences: int | None
) -> bool:
    """Stores the org info from Zoho and its time `now`; returns whether anything changed. None: Zoho did not say."""
    # changes.update_org_info: reads the previous values in the same statement. Zoho's answer does not replace values
    # that an operator set, nor a zgid: see `another_org`.
    is_new: bool | None = await database.fetchval(
        """
        UPDATE orgs o SET facts_at = $5, zgid = new.zgid, edition = new.edition, licences = new.licences,
               edition_source = CASE WHEN $3::text IS NULL OR o.edition_source = 'set' THEN o.edition_source
                                     ELSE 'zoho' END,
               licences_source = CASE WHEN $4::int IS NULL OR o.licences_source = 'set' THEN o.licences_source
                                      ELSE 'zoho' END,
               updated_at = CASE WHEN (new.zgid, new.edition, new.licences)
                                      IS DISTINCT FROM (known.zgid, known.edition, known.licences)
                                 THEN $5 ELSE o.updated_at END
        FROM orgs known CROSS JOIN LATERAL (
            SELECT coalesce(known.zgid, $2) AS zgid,
                   CASE known.edition_source WHEN 'set' THEN known.edition
                        ELSE coalesce($3, known.edition) END AS edition,
                   CASE known.licences_source WHEN 'set' THEN known.licences
                        ELSE coalesce($4, known.licences) END AS licences
        ) AS new
        WHERE o.id = $1 AND known.id = o.id
        RETURNING (new.zgid, new.edition, new.licences) IS DISTINCT FROM (known.zgid, known.edition, known.licences)
        """,
        org_id,
        zgid,
        edition,
        licences,
        now,
    )
    return bool(is_new)


# changes.profiles: locked until they are changed.
_PROFILES: Final = f"SELECT id, {', '.join(COLUMNS)} FROM orgs WHERE id = ANY($1::int[]) FOR NO KEY UPDATE"  # noqa: S608

# changes.taken: another org of that name; one that is not removed comes first.
_TAKEN: Final = "SELECT removed_at FROM orgs WHERE name = $1 AND id <> $2 ORDER BY removed_at DESC NULLS FIRST LIMIT 1"

# changes.rename
_RENAME: Final = "UPDATE orgs SET name = $2, updated_at = now() WHERE id = $1"

# changes.taken_again: a name of a removed org that another org has now.
_TAKEN_AGAIN: Final = """
SELECT o.name FROM orgs o JOIN orgs other ON other.name = o.name AND other.id <> o.id AND other.removed_at IS NULL
WHERE o.id = ANY($1::int[]) AND o.removed_at IS NOT NULL LIMIT 1
"""

# changes.restore: an org that was paused before stays paused after it gets credentials.
_RESTORE: Final = """
UPDATE orgs o SET removed_at = NULL, resumed_at = $2, updated_at = $2, paused_at = coalesce(o.paused_at, $2),
                  paused_reason = CASE WHEN o.paused_at IS NULL THEN 'no_credentials' ELSE o.paused_reason END
FROM orgs AS before WHERE o.id = before.id AND o.id = ANY($1::int[]) AND o.removed_at IS NOT NULL
RETURNING o.name, before.removed_grant
"""
