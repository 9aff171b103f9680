"""The orgs themselves: found by name, paused, parked, removed. Their credentials are `credentials`' business.

A removed org keeps its row, its name and its history, and loses every secret at once; only a purge deletes it.
`org_changes.restore` brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.store.orgs.names import ids_by_name
from poller.store.series.snapshots import delete_history

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from poller.core.model import Outcome
    from poller.store.database import Database
    from poller.store.queries import Connection, Record

FIRST_PROBE_SECONDS: Final = 3_600
LAST_PROBE_SECONDS: Final = 86_400
"""A parked org is tried again after one interval (an hour where none is given), then ever more seldom: at last
daily."""


@dataclass(frozen=True, slots=True)
class OrgRecord:
    """An org as it is stored, for those who list and show orgs: nothing secret in it. None: not said, not known."""

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
    removed_at: datetime | None
    parked_at: datetime | None
    parked_code: str | None
    parked_remedy: str | None
    probe_at: datetime | None
    client_id: str | None
    grant: str | None
    """`refresh_token`, `grant_code` (not exchanged yet) or `soid`; None without credentials."""
    key_id: str | None


async def stream_orgs(database: Database, *, page: int = 500) -> AsyncIterator[OrgRecord]:
    """Every org that was not removed, by name, a page at a time and no transaction between pages."""
    after = ""
    while True:
        # orgs.list: a page of them by name.
        rows = await database.fetch(
            f"{_SELECT} WHERE o.removed_at IS NULL AND o.name > $1 ORDER BY o.name LIMIT $2", after, page
        )
        for row in rows:
            yield _record(row)
        if len(rows) < page:
            return
        after = rows[-1]["name"]


async def find_orgs(database: Database, names: Sequence[str], *, removed: bool = False) -> list[OrgRecord]:
    """The orgs of these names, in this order; a `UsageError` suggests what an unknown name may have meant.

    With `removed`, an org that was removed is found as well, unless another has its name by now.
    """
    ids = list((await ids_by_name(database, names, removed=removed)).values())
    # orgs.find: by id.
    rows = await database.fetch(f"{_SELECT} WHERE o.id = ANY($1::int[])", ids)
    found = {row["id"]: _record(row) for row in rows}
    return [found[org_id] for org_id in dict.fromkeys(ids) if org_id in found]


async def read_org(database: Database, org_id: int) -> OrgRecord | None:
    """One org, removed or not; None where there is none."""
    row = await database.fetchrow(f"{_SELECT} WHERE o.id = $1", org_id)
    return None if row is None else _record(row)


async def count_orgs(database: Database) -> int:
    """How many orgs are neither paused nor removed."""
    # orgs.count: those a sweep is about.
    count: int = await database.fetchval("SELECT count(*) FROM orgs WHERE removed_at IS NULL AND paused_at IS NULL")
    return count


async def has_credentials(database: Database, name: str) -> bool:
    """Whether there is an org of that name with credentials: one that was restored has none yet."""
    # orgs.has_credentials
    found: bool = await database.fetchval(
        "SELECT EXISTS (SELECT FROM orgs WHERE removed_at IS NULL AND name = $1"
        " AND paused_reason IS DISTINCT FROM 'no_credentials')",
        name,
    )
    return found


async def pause(database: Database, names: Sequence[str], now: datetime) -> int:
    """Poll these no more until they are resumed; how many were not paused yet."""
    # orgs.pause
    return await _change(
        database, names, "UPDATE orgs SET paused_at = $2, updated_at = $2 WHERE id = ANY($1) AND paused_at IS NULL", now
    )


async def resume(database: Database, names: Sequence[str], now: datetime) -> int:
    """Poll these again, parked ones too: the person who resumes an org has repaired it. How many were not polled.

    An org that was restored, and has no credentials yet, is a `UsageError`.
    """
    # orgs.resumable
    missing = await database.fetch(
        "SELECT name FROM orgs"
        " WHERE name = ANY($1::text[]) AND paused_reason = 'no_credentials' AND removed_at IS NULL",
        names,
    )
    if missing:
        raise UsageError(
            f"the org {missing[0]['name']!r} has no credentials", "import it with its credentials: it is polled then"
        )
    # orgs.resume
    return await _change(
        database,
        names,
        """
        UPDATE orgs SET paused_at = NULL, paused_reason = NULL, parked_at = NULL, parked_code = NULL,
                        parked_remedy = NULL, parked_outcome = NULL, probe_at = NULL, probes = 0, resumed_at = $2,
                        updated_at = $2
        WHERE id = ANY($1) AND (paused_at IS NOT NULL OR parked_at IS NOT NULL)
        """,
        now,
    )


async def remove(database: Database, names: Sequence[str], now: datetime) -> int:
    """Delete the credentials and tokens of these, keep their names and their history. How many."""
    ids = [org.id for org in await find_orgs(database, names)]
    async with database.transaction() as connection:
        await _lock(connection, ids)
        # orgs.remove: the row stays, for the history's sake, with the kind and fingerprint of the credential it had.
        await connection.execute(
            """
            UPDATE orgs o SET removed_at = $2, updated_at = $2, parked_at = NULL, parked_code = NULL,
                              parked_remedy = NULL, parked_outcome = NULL, probe_at = NULL, probes = 0,
                              removed_grant = known.kind,
                              removed_fingerprint = known.grant_fingerprint
            FROM (SELECT i.id, c.grant_fingerprint,
                         CASE WHEN c.refresh_token IS NOT NULL THEN 'refresh_token'
                              WHEN c.grant_code IS NOT NULL THEN 'grant_code'
                              WHEN c.soid IS NOT NULL THEN 'soid' END AS kind
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
    """Forget orgs and their whole history: those of these names, or where there is none, those removed earlier."""
    ids = list((await ids_by_name(database, names, removed=True)).values())
    async with database.transaction() as connection:
        await _lock(connection, ids)
        for org_id in ids:
            await delete_history(connection, org_id)
        # orgs.purge: everything else refers to the row and goes with it.
        await connection.execute("DELETE FROM orgs WHERE id = ANY($1)", ids)
    return len(ids)


async def park(
    database: Database,
    org_id: int,
    code: str,
    remedy: str,
    now: datetime,
    *,
    outcome: Outcome,
    first_probe_seconds: float = FIRST_PROBE_SECONDS,
    lease_holder: UUID | None = None,
) -> None:
    """Parks an org: records what a person must repair, and how. The org is probed less and less often.

    `outcome`: of the poll that parks the org; the rows of the slots in which it stays parked have the same outcome.
    `lease_holder`: parks only while the org's lease is this holder's. New credentials end a lease.
    """
    # orgs.park: the first time, or again after a probe. Before the next probe is due only the reason changes: when ten
    # workers find the same fault at once, only one of them moves the next probe.
    await database.execute(
        """
        UPDATE orgs SET
            parked_at = coalesce(parked_at, $4), parked_code = $2, parked_remedy = $3, parked_outcome = $8,
            probe_at = CASE WHEN probe_at > $4 THEN probe_at
                            ELSE $4 + make_interval(secs => least($5 * 2 ^ least(probes, 16), $6)) END,
            probes = CASE WHEN probe_at > $4 THEN probes ELSE least(probes + 1, 1000) END
        WHERE id = $1 AND removed_at IS NULL
          AND ($7::uuid IS NULL OR EXISTS (SELECT FROM access_tokens WHERE org_id = $1 AND lease_holder = $7))
        """,
        org_id,
        code,
        remedy,
        now,
        float(min(first_probe_seconds, LAST_PROBE_SECONDS)),
        float(LAST_PROBE_SECONDS),
        lease_holder,
        outcome.value,
    )


async def unpark(database: Database, org_id: int) -> bool:
    """The org answers again; whether it was parked."""
    # orgs.unpark
    status = await database.execute(
        """
        UPDATE orgs SET parked_at = NULL, parked_code = NULL, parked_remedy = NULL, parked_outcome = NULL,
                        probe_at = NULL, probes = 0
        WHERE id = $1 AND parked_at IS NOT NULL
        """,
        org_id,
    )
    return _rows(status) > 0


# orgs.remove_secrets: and what is known of limits, which is the credentials' more than the org's.
_REMOVE: Final = (
    "DELETE FROM org_credentials WHERE org_id = ANY($1)",
    "DELETE FROM access_tokens WHERE org_id = ANY($1)",
    "DELETE FROM org_limits WHERE org_id = ANY($1)",
    "DELETE FROM credit_spend WHERE org_id = ANY($1)",
)

_SELECT: Final = """
SELECT o.id, o.name, o.data_center, o.zgid, o.edition, o.licences, o.poll_interval_seconds, o.api_version, o.tags,
       o.created_at, o.updated_at, o.paused_at, o.removed_at, o.parked_at, o.parked_code, o.parked_remedy, o.probe_at,
       c.client_id, c.key_id,
       CASE WHEN c.refresh_token IS NOT NULL THEN 'refresh_token'
            WHEN c.grant_code IS NOT NULL THEN 'grant_code'
            WHEN c.soid IS NOT NULL THEN 'soid' END AS "grant"
FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id
"""


def _record(row: Record) -> OrgRecord:
    return OrgRecord(**{**row, "tags": tuple(row["tags"])})


async def _lock(connection: Connection, ids: Sequence[int]) -> None:
    """Wait for those who write what refers to these orgs; in the order of ids, as they lock them, so none deadlocks."""
    # orgs.lock
    await connection.execute("SELECT FROM orgs WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids)


async def _change(database: Database, names: Sequence[str], statement: str, now: datetime) -> int:
    ids = [org.id for org in await find_orgs(database, names)]
    return _rows(await database.execute(statement, ids, now))


def _rows(status: str) -> int:
    """The number at the end of `UPDATE 3`."""
    return int(status.rpartition(" ")[2])
