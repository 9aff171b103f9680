"""Reads, pauses, resumes, removes and purges orgs.

A removed org keeps its row, its name and its history, but its secrets are deleted at once; `changes.restore` restores
it. Only a purge deletes the row and the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.store.orgs.names import ids_by_name
from poller.store.series.snapshots import delete_history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.database import Database
    from poller.store.queries import Connection, Row


@dataclass(frozen=True, slots=True)
class OrgRecord:
    """A stored org without its secrets, for lists of orgs. None: not given, or not known."""

    id: int
    name: str
    data_center: str
    zgid: str | None
    edition: str | None
    licences: int | None
    poll_interval_seconds: int | None
    api_version: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    paused_at: datetime | None
    parked_at: datetime | None
    parked_code: str | None
    parked_remedy: str | None
    probe_at: datetime | None
    client_id: str | None
    grant: str | None
    """`refresh_token`, `grant_code` (not exchanged yet) or `soid`; None without credentials."""
    key_id: str | None


async def find_orgs(database: Database, names: Sequence[str], *, removed: bool = False) -> list[OrgRecord]:
    """Returns the orgs with these names, in this order; for an unknown name a `UsageError` suggests a similar one.

    With `removed`, finds removed orgs too, unless another org has the name now.
    """
    ids = list((await ids_by_name(database, names, removed=removed)).values())
    # orgs.find: by id.
    rows = await database.fetch(f"{_SELECT} WHERE o.id = ANY($1::int[])", ids)
    found = {row["id"]: _record(row) for row in rows}
    return [found[org_id] for org_id in dict.fromkeys(ids) if org_id in found]


async def read_org(database: Database, org_id: int) -> OrgRecord | None:
    """Returns one org, removed or not, or None."""
    row = await database.fetchrow(f"{_SELECT} WHERE o.id = $1", org_id)
    return None if row is None else _record(row)


async def count_orgs(database: Database) -> int:
    """Returns the number of orgs that are neither paused nor removed."""
    # orgs.count
    count: int = await database.fetchval("SELECT count(*) FROM orgs WHERE removed_at IS NULL AND paused_at IS NULL")
    return count


async def has_credentials(database: Database, name: str) -> bool:
    """Returns whether an org of that name has credentials; a restored org has none at first."""
    # orgs.has_credentials
    found: bool = await database.fetchval(
        "SELECT EXISTS (SELECT FROM orgs WHERE removed_at IS NULL AND name = $1"
        " AND paused_reason IS DISTINCT FROM 'no_credentials')",
        name,
    )
    return found


async def pause(database: Database, names: Sequence[str], now: datetime) -> int:
    """Stops polling these orgs until they are resumed; returns how many were not paused before."""
    return len(await pause_ids(database, [org.id for org in await find_orgs(database, names)], now))


async def pause_ids(database: Database, org_ids: Sequence[int], now: datetime) -> list[int]:
    """The same for orgs by id; returns the ids of those that were not paused before."""
    # orgs.pause
    statement = "UPDATE orgs SET paused_at = $2, updated_at = $2 WHERE id = ANY($1) AND paused_at IS NULL RETURNING id"
    return [row["id"] for row in await database.fetch(statement, list(org_ids), now)]


async def resume(database: Database, names: Sequence[str], now: datetime) -> int:
    """Polls these orgs again and unparks them; returns how many were paused or parked.

    Raises a `UsageError` for a restored org that has no credentials yet.
    """
    return len(await resume_ids(database, [org.id for org in await find_orgs(database, names)], now))


async def without_credentials(database: Database, org_ids: Sequence[int]) -> list[int]:
    """Returns the ids of those orgs that have no credentials, so that they cannot be resumed."""
    # orgs.without_credentials
    statement = "SELECT id FROM orgs WHERE id = ANY($1::int[]) AND paused_reason = 'no_credentials'"
    return [row["id"] for row in await database.fetch(statement, list(org_ids))]


async def resume_ids(database: Database, org_ids: Sequence[int], now: datetime) -> list[int]:
    """The same for orgs by id; returns the ids of those that were paused or parked."""
    # orgs.resumable
    missing = await database.fetch(
        "SELECT name FROM orgs WHERE id = ANY($1::int[]) AND paused_reason = 'no_credentials' AND removed_at IS NULL",
        list(org_ids),
    )
    if missing:
        raise UsageError(
            f"the org {missing[0]['name']!r} has no credentials", "import it with its credentials: it is polled then"
        )
    # orgs.resume
    rows = await database.fetch(
        """
        UPDATE orgs SET paused_at = NULL, paused_reason = NULL, parked_at = NULL, parked_code = NULL,
                        parked_remedy = NULL, parked_outcome = NULL, probe_at = NULL, probes = 0, resumed_at = $2,
                        updated_at = $2
        WHERE id = ANY($1) AND (paused_at IS NOT NULL OR parked_at IS NOT NULL)
        RETURNING id
        """,
        list(org_ids),
        now,
    )
    return [row["id"] for row in rows]


async def remove(database: Database, names: Sequence[str], now: datetime) -> int:
    """Removes orgs: deletes credentials and tokens, keeps names and history. Returns how many."""
    ids = [org.id for org in await find_orgs(database, names)]
    async with database.transaction() as connection:
        await _lock(connection, ids)
        # orgs.remove: the row stays for the history, with the kind and fingerprint of the credential.
        await connection.execute(
            """
            UPDATE orgs o SET removed_at = $2, updated_at = $2, parked_at = NULL, parked_code = NULL,
                              parked_remedy = NULL, parked_outcome = NULL, probe_at = NULL, probes = 0,
                              removed_grant = known.grant_form,
                              removed_fingerprint = known.grant_fingerprint
            FROM (SELECT i.id, c.grant_fingerprint,
                         CASE WHEN c.refresh_token IS NOT NULL THEN 'refresh_token'
                              WHEN c.grant_code IS NOT NULL THEN 'grant_code'
                              WHEN c.soid IS NOT NULL THEN 'soid' END AS grant_form
                  FROM unnest($1::int[]) AS i (id) LEFT JOIN org_credentials c ON c.org_id = i.id) AS known
            WHERE o.id = known.id
            """,
            ids,
            now,
        )
        for statement in _REMOVE:
            await connection.execute(statement, ids)
    return len(ids)


async def purge(database: Database, names: Sequence[str]) -> int:
    """Deletes orgs and their whole history; a name that only removed orgs have means the last removed."""
    ids = list((await ids_by_name(database, names, removed=True)).values())
    async with database.transaction() as connection:
        await _lock(connection, ids)
        for org_id in ids:
            await delete_history(connection, org_id)
        # orgs.purge: everything else refers to the row and is deleted with it.
        await connection.execute("DELETE FROM orgs WHERE id = ANY($1)", ids)
    return len(ids)


# orgs.remove_secrets: also the rate limit state and the credits.
_REMOVE: Final = (
    "DELETE FROM org_credentials WHERE org_id = ANY($1)",
    "DELETE FROM access_tokens WHERE org_id = ANY($1)",
    "DELETE FROM org_limits WHERE org_id = ANY($1)",
    "DELETE FROM credit_spend WHERE org_id = ANY($1)",
)

# orgs.select
_SELECT: Final = """
SELECT o.id, o.name, o.data_center, o.zgid, o.edition, o.licences, o.poll_interval_seconds, o.api_version, o.tags,
       o.created_at, o.updated_at, o.paused_at, o.parked_at, o.parked_code, o.parked_remedy, o.probe_at,
       c.client_id, c.key_id,
       CASE WHEN c.refresh_token IS NOT NULL THEN 'refresh_token'
            WHEN c.grant_code IS NOT NULL THEN 'grant_code'
            WHEN c.soid IS NOT NULL THEN 'soid' END AS "grant"
FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id
"""


def _record(row: Row) -> OrgRecord:
    return OrgRecord(**{**row, "tags": tuple(row["tags"])})


async def _lock(connection: Connection, ids: Sequence[int]) -> None:
    """Locks orgs, and so waits for writers of rows that refer to them; in the order of ids, so none deadlocks."""
    # orgs.lock
    await connection.execute("SELECT FROM orgs WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids)
