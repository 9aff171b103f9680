"""Facts about the database server for the checks of `poller doctor`; it only reads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database
    from poller.store.queries import Queries

OLDEST_VERSION: Final = 150_000
"""As `server_version_num`: PostgreSQL 15."""
_CLOCK_READINGS: Final = 3


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server's version for people and for comparison, whether it refuses writes, and the database's size."""

    version: str
    version_number: int
    read_only: bool
    bytes: int


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """Faults of the partitions: a default partition, which every new month must search; half dropped months."""

    default_partition: str | None
    half_dropped: int


async def read_server(database: Database) -> ServerFacts:
    """Returns the server's version, size and mode."""
    (row,) = await database.fetch(_SERVER)
    return ServerFacts(*row)


async def read_months(database: Database) -> MonthFacts:
    """Returns the faults of the monthly partitions."""
    (row,) = await database.fetch(_MONTHS)
    return MonthFacts(*row)


async def clock_ahead(database: Database) -> tuple[float, float]:
    """Returns how many seconds PostgreSQL's clock is ahead of this machine's, and the possible error of that number."""
    found = []
    for _ in range(_CLOCK_READINGS):
        started_at, clock = datetime.now(UTC), time.perf_counter()
        theirs: datetime = await database.fetchval(_CLOCK)
        seconds = time.perf_counter() - clock
        middle = started_at + timedelta(seconds=seconds / 2)
        found.append((seconds / 2, (theirs - middle).total_seconds()))
    doubt, ahead = min(found)
    return ahead, doubt


async def missing_readers(database: Queries) -> tuple[list[str], list[str]]:
    """Returns the reader roles that do not exist, and those that exist but may not read."""
    rows = await database.fetch(_READERS)
    return [row["name"] for row in rows if not row["there"]], [row["name"] for row in rows if row["there"]]


async def orgs_by_data_center(database: Database) -> dict[str, int]:
    """Returns the number of orgs in each data centre, without paused and removed ones."""
    return {row[0]: row[1] for row in await database.fetch(_DATA_CENTERS)}


async def orgs_under_keys(database: Database, key_ids: Sequence[str]) -> list[str]:
    """Returns the names of orgs whose credentials are encrypted with these keys."""
    return [row[0] for row in await database.fetch(_UNDER_KEYS, list(key_ids))]


async def one_org_per_key(database: Database) -> list[int]:
    """Returns the id of one org for each key, to try the key on."""
    return [row[0] for row in await database.fetch(_ONE_PER_KEY)]


# server_health.server
_SERVER: Final = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only,
       pg_database_size(current_database()) AS bytes
"""

# server_health.clock
_CLOCK: Final = "SELECT clock_timestamp()"

# server_health.months
_MONTHS: Final = """
SELECT (SELECT nullif(partdefid, 0)::regclass::text FROM pg_partitioned_table
        WHERE partrelid = 'org_snapshots'::regclass) AS default_partition,
       (SELECT count(*) FROM pg_inherits
        WHERE inhparent = 'org_snapshots'::regclass AND inhdetachpending) AS half_dropped
"""

# server_health.readers: the roles that cannot read.
_READERS: Final = """
SELECT r.name, p.oid IS NOT NULL AS there
FROM (VALUES ('poller_reader'), ('poller_guest')) AS r (name) LEFT JOIN pg_roles p ON p.rolname = r.name
WHERE p.oid IS NULL OR NOT has_table_privilege(p.oid, 'user_counts', 'SELECT')
ORDER BY r.name DESC
"""

# server_health.data_centers
_DATA_CENTERS: Final = """
SELECT data_center, count(*)::int FROM orgs WHERE removed_at IS NULL AND paused_at IS NULL GROUP BY 1 ORDER BY 1
"""

# server_health.under_keys
_UNDER_KEYS: Final = """
SELECT o.name FROM org_credentials c JOIN orgs o ON o.id = c.org_id WHERE c.key_id = ANY ($1::text[]) ORDER BY o.name
"""

# server_health.one_per_key
_ONE_PER_KEY: Final = "SELECT min(org_id) FROM org_credentials GROUP BY key_id"
