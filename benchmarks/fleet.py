"""How long the commands about a whole fleet take, each as a process of its own: until its summary or its first line.

A command that answers with a page or a list is measured until its first line, `doctor` until its last finding about the
database: what follows depends on the network. Beside it stands the processor time of the command's own process to its
end, which other work on the machine changes less.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.aims import Figure, show
from poller import embedded
from poller.store import schema
from poller.store.database import connect
from poller.store.series.partitions import ensure_partitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from poller.store.database import Database

SIZES: Final = (1_000, 10_000, 100_000)
ROUNDS: Final = 7
MOST_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 3_600.0
_ORG: Final = "Customer 500"
_TAG: Final = "customer:7"
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "doctor (until the last line about the database)": ("doctor",),
    "orgs list": ("orgs", "list"),
    "orgs list --json": ("orgs", "list", "--json"),
    "orgs list --state failing": ("orgs", "list", "--state", "failing"),
    "orgs list --tag (1 of 200)": ("orgs", "list", "--tag", _TAG),
    "gaps": ("gaps", "--since", "1d"),
    "gaps --tag": ("gaps", "--since", "1d", "--tag", _TAG),
    "anomalies": ("anomalies",),
    "anomalies --json": ("anomalies", "--json"),
    "seats": ("seats",),
    "seats --json": ("seats", "--json"),
    "seats --by-tag": ("seats", "--by-tag"),
    "forecast --json": ("forecast", "--json"),
    "orgs show ORG": ("orgs", "show", _ORG),
    "trend ORG": ("trend", _ORG),
    "gaps ORG": ("gaps", _ORG),
    "--version: what any command takes": ("--version",),
}
_LAST_LINE: Final = {"doctor": "twins"}
"""What is in the line that ends a measurement, where that is not the first."""
_STOPPED: Final = frozenset({"doctor", "forecast"})
"""These are stopped after that line: they go on to the network, or for minutes."""


class Taken(NamedTuple):
    """Seconds until the line that counts, and processor seconds of the whole process."""

    seconds: float
    processor: float


async def main(orgs: int | None = None) -> None:
    """Print a table for each size of fleet: the least of seven rounds, which other work disturbs least."""
    for size in SIZES if orgs is None else (orgs,):
        async with filled_fleet(size) as environ:
            figures = []
            for name, arguments in COMMANDS.items():
                taken = [await _take(arguments, environ, stop=arguments[0] in _STOPPED) for _ in range(ROUNDS)]
                seconds = min(one.seconds for one in taken)
                figures.append(Figure(f"`poller {name}`, s", seconds, at_most=MOST_SECONDS))
                figures.append(Figure("- processor time of the command", min(one.processor for one in taken)))
        show(f"A fleet of {size:,} orgs", figures)


async def _take(arguments: tuple[str, ...], environ: Mapping[str, str], *, stop: bool) -> Taken:
    """Run a command; it is left to write the rest, or stopped after the line that counts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    assert process.stdout is not None
    wanted = _LAST_LINE.get(arguments[0], "").encode()
    line = await process.stdout.readline()
    while line and wanted not in line:
        line = await process.stdout.readline()
    seconds = time.perf_counter() - started
    if stop:
        process.terminate()
    _, errors = await process.communicate()
    assert line, (arguments, errors)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@asynccontextmanager
async def filled_fleet(size: int) -> AsyncIterator[Mapping[str, str]]:
    """The environment of commands for a database with `size` orgs, as it is after a day of the service."""
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        server = await asyncio.to_thread(embedded.start, Path(folder))
        try:
            await schema.upgrade(server.dsn())
            async with await connect(server.dsn(), command_timeout=_TIMEOUT_SECONDS) as database:
                await _fill(database, size)
            yield {
                "POLLER_DATABASE_URL": server.dsn(),
                # No request of the doctor leaves this machine.
                "POLLER_PROXY": "http://127.0.0.1:9",
                "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q=",
            }
        finally:
            await asyncio.to_thread(server.close)


async def _fill(database: Database, size: int) -> None:
    now = datetime.now(UTC)
    await ensure_partitions(database, now - timedelta(days=1), now + timedelta(days=1))
    for statement in _FILL:
        await database.execute(statement.replace("$1", str(size)))


# A fiftieth of the orgs fails, another has an anomaly, a three-hundredth is parked; every poll of a day spent credits.
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
        FROM (SELECT id, CASE WHEN id % 50 <> 0 THEN 80 + id % 40 END AS u FROM orgs) AS o
        """
        for back in (30, 15, 0)
    ),
    """
    INSERT INTO latest_snapshots (org_id, slot, polled_at, all_users, active_users, admin_users)
    SELECT id, date_bin('15 min', now(), 'epoch'), now(), 80 + id % 40, 80 + id % 40, 1 FROM orgs WHERE id % 50 <> 0
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
    UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code', parked_outcome = 'unauthorized',
           parked_remedy = 'make a new grant code', probe_at = now() + interval '1 hour'
    WHERE id % 300 = 7
    """,
    """
    INSERT INTO seat_readings (org_id, taken_at, purchased, used, edition, source)
    SELECT id, now() - interval '3 hours', 100 + id % 50, 80 + id % 40, edition, 'features' FROM orgs
    """,
    """
    INSERT INTO found_anomalies (org_id, user_type, day, kind, before, after, expected_low, expected_high, severity,
                                 why, found_at)
    SELECT id, 'ActiveUsers', current_date - id / 50 % 25, 'step', 10, 20, 9, 11, 'high', 'rose from 10 to 20', now()
    FROM orgs WHERE id % 50 = 1
    """,
    "VACUUM (ANALYZE)",
)
