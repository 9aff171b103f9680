"""How long the commands about a whole fleet take, each as a process of its own: the time until its first line."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from poller import embedded
from poller.store import schema
from poller.store.database import connect
from poller.store.series.partitions import ensure_partitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from poller.store.database import Database

SIZES: Final = (1_000, 10_000, 100_000)
ROUNDS: Final = 3
MOST_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 3_600.0
_ORG: Final = "Customer 500"
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "orgs list": ("orgs", "list"),
    "orgs list --state failing": ("orgs", "list", "--state", "failing"),
    "orgs list --tag (1 of 200)": ("orgs", "list", "--tag", "customer:7"),
    "orgs show ORG": ("orgs", "show", _ORG),
    "trend ORG": ("trend", _ORG),
    "gaps ORG": ("gaps", _ORG),
    "gaps": ("gaps", "--since", "1d"),
}


async def main(orgs: int | None = None) -> None:
    """Print a table for each size of fleet."""
    for size in SIZES if orgs is None else (orgs,):
        async with _fleet(size) as environ:
            figures = []
            for name, arguments in COMMANDS.items():
                seconds = median([await _seconds(arguments, environ) for _ in range(ROUNDS)])
                figures.append(Figure(f"poller {name}, s", seconds, at_most=MOST_SECONDS))
            imports = median([await _seconds(("--version",), environ) for _ in range(ROUNDS)])
            figures.append(Figure("poller --version, s: what any command takes", imports))
        show(f"A fleet of {size:,} orgs: seconds until the first line", figures)


async def _seconds(arguments: tuple[str, ...], environ: Mapping[str, str]) -> float:
    """Until its first line; the command is then left to write the rest."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    seconds = time.perf_counter() - started
    _, errors = await process.communicate()
    assert first, (arguments, errors)
    return seconds


@asynccontextmanager
async def _fleet(size: int) -> AsyncIterator[Mapping[str, str]]:
    """The environment of commands over a database with so many orgs, as a service of a day has left it."""
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        server = await asyncio.to_thread(embedded.start, Path(folder))
        try:
            await schema.upgrade(server.dsn())
            async with await connect(server.dsn(), command_timeout=_TIMEOUT_SECONDS) as database:
                await _fill(database, size)
            yield {
                "POLLER_DATABASE_URL": server.dsn(),
                "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q=",
            }
        finally:
            await asyncio.to_thread(server.close)


async def _fill(database: Database, size: int) -> None:
    now = datetime.now(UTC)
    await ensure_partitions(database, now - timedelta(days=1), now + timedelta(days=1))
    for statement in _FILL:
        await database.execute(statement.replace("$1", str(size)))


# A fiftieth of the orgs fails, a three-hundredth is parked, and every poll of a day spent its credits.
_FILL: Final = (
    """
    INSERT INTO orgs (name, data_center, edition, licences, tags, created_at)
    SELECT 'Customer ' || n, (ARRAY['us', 'eu', 'in'])[1 + n % 3],
           (ARRAY['free', 'standard', 'enterprise', NULL])[1 + n % 4], n % 300, ARRAY['customer:' || n % 200],
           now() - interval '30 days'
    FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO org_credentials (org_id, client_id, client_secret, soid, grant_fingerprint, key_id)
    SELECT id, '1000.A', 'x', 'ZohoCRM.' || id, sha256(id::text::bytea), 'k1' FROM orgs
    """,
    *(
        f"""
        INSERT INTO org_snapshots (slot, polled_at, org_id, duration_ms, all_users, active_users, deactive_users,
            confirmed_users, not_confirmed_users, deleted_users, active_confirmed_users, admin_users,
            active_confirmed_admins, current_users, late_seconds, requests, outcome, error)
        SELECT date_bin('15 min', now(), 'epoch') - interval '{back} minutes', now() - interval '{back} minutes', id,
               100, u, u, u, u, u, u, u, u, u, u, 0, 10, CASE WHEN u IS NULL THEN 'unavailable' ELSE 'ok' END,
               CASE WHEN u IS NULL THEN 'timeout' END
        FROM (SELECT id, CASE WHEN id % 50 <> 0 THEN id END AS u FROM orgs) AS o
        """
        for back in (30, 15, 0)
    ),
    """
    INSERT INTO latest_snapshots (org_id, slot, polled_at, all_users, active_users, admin_users)
    SELECT id, date_bin('15 min', now(), 'epoch'), now(), id, id, id FROM orgs WHERE id % 50 <> 0
    """,
    """
    INSERT INTO credit_spend SELECT id, date_bin('15 min', now(), 'epoch') - n * interval '15 min', 10
    FROM generate_series(0, 95) AS n, orgs
    """,
    """
    INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at)
    SELECT id, date_bin('15 min', now(), 'epoch') + interval '15 min', 900, now() + interval '10 min' FROM orgs
    """,
    """
    UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code', parked_remedy = 'make a new grant code',
           probe_at = now() + interval '1 hour'
    WHERE id % 300 = 7
    """,
    "VACUUM (ANALYZE)",
)
