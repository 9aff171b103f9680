"""Who holds a lock that the poller waits for: the process, its role and since when, for a message or the doctor.

Every role may see the locks of all sessions. The start of another role's transaction takes `pg_read_all_stats`; without
it the message leaves the time out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import LockedError

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.queries import Queries


LOCKS: Final = "poller_locks"
"""The private table whose rows are the poller's locks: a session of its own role may hold one, too."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One session with an open transaction: its process and login; `since` None where this role may not see it.

    `transaction`: PostgreSQL's name for the transaction, which no other has.
    """

    pid: int
    role: str
    since: datetime | None
    transaction: str | None = None

    def __str__(self) -> str:
        """For a message: `process 4711 of role analyst, in a transaction since 2026-11-27 06:30 UTC`."""
        since = "" if self.since is None else f", in a transaction since {self.since:%Y-%m-%d %H:%M} UTC"
        return f"process {self.pid} of role {self.role}{since}"


async def lock_holders(queries: Queries, *relations: str) -> list[Blocker]:
    """Returns the other sessions that hold a lock on one of these relations or their partitions, the oldest first."""
    return [Blocker(*row) for row in await queries.fetch(_HOLDERS, list(relations))]


async def other_holders(queries: Queries) -> list[Blocker]:
    """Returns the sessions of other roles that hold a lock on a shared relation, the oldest first."""
    # blockers.shared_relations
    relations = [row[0] for row in await queries.fetch("SELECT quote_ident(name) FROM shared_relations")]
    # blockers.own_role
    own = await queries.fetch("SELECT current_user::text")
    return [blocker for blocker in await lock_holders(queries, *relations) if blocker.role != own[0][0]]


async def locked_by_others(queries: Queries, what: str, *relations: str) -> LockedError:
    """Returns the error for a task that failed (`what`: a sentence) because others hold a lock on these relations."""
    holders = await lock_holders(queries, *relations)
    return _locked(what, holders[0] if holders else None)


async def locked_by(queries: Queries, what: str, pid: int) -> LockedError:
    """Returns the error for a task that failed (`what`: a sentence) because the session `pid` blocks it."""
    rows = await queries.fetch(_SESSION, pid)
    return _locked(what, Blocker(*rows[0]) if rows else None)


def _locked(what: str, blocker: Blocker | None) -> LockedError:
    if blocker is None:
        return LockedError(what, "the next run tries again")
    return LockedError(
        f"{what}: {blocker} holds a lock",
        f"the next run tries again; to end that transaction: SELECT pg_terminate_backend({blocker.pid})",
    )


# blockers.holders: one row per session, not per lock.
_HOLDERS: Final = """
SELECT a.pid, coalesce(a.usename::text, 'unknown') AS role, a.xact_start, min(k.virtualtransaction) AS transaction
FROM pg_stat_activity a JOIN pg_locks k ON k.pid = a.pid
WHERE a.pid <> pg_backend_pid() AND a.pid IN (
    SELECT l.pid FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (
          SELECT to_regclass(name) FROM unnest($1::text[]) AS name
          UNION ALL
          SELECT inhrelid FROM pg_inherits WHERE inhparent IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
      )
)
GROUP BY a.pid, a.usename, a.xact_start
ORDER BY a.xact_start NULLS FIRST, a.pid
"""

# blockers.session
_SESSION: Final = "SELECT pid, coalesce(usename::text, 'unknown'), xact_start FROM pg_stat_activity WHERE pid = $1"
