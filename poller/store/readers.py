"""Who may read: the roles `poller_reader` and `poller_guest`, where whoever migrates was not allowed to make them.

Which relations they see stands in the database itself (`shared_relations`). Logins are the operator's to make; no
password is ever seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poller.store.database import Database


async def admit_readers(database: Database) -> list[str]:
    """Make the roles and let them read, if that is still to be done; those that an administrator must make first."""
    if await database.fetchval(_ADMITTED):
        return []
    return [row[0] for row in await database.fetch("SELECT admit_readers()")]


# Purpose: whether both roles read already. Granting once more would do no harm but write.
_ADMITTED: Final = """
SELECT count(*) = 2 FROM pg_roles
WHERE rolname IN ('poller_reader', 'poller_guest') AND has_table_privilege(oid, 'user_counts', 'SELECT')
"""
