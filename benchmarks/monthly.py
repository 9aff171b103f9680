"""How long `poller report` takes for a fleet with thirteen months of daily counts, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.aims import Figure, show
from benchmarks.fleet import filled_fleet
from poller.store.database import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.store.database import Database

ORGS: Final = 500
MOST_SECONDS: Final = 60.0
_TIMEOUT_SECONDS: Final = 3_600.0
_MB: Final = 1_000_000
_RUN: Final = """
import resource, sys
from poller.cli import run
code = run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
# Thirteen months of all ten types with a growing count, a gap of a day in fifty, readings of seats, contracts.
_HISTORY: Final = (
    """
    INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
    SELECT t, current_date - ago, o.id, c, c, c, c, c::bigint * known, known, 96 - known
    FROM orgs o, generate_series(1, 10) AS t, generate_series(1, 425) AS ago,
         LATERAL (SELECT CASE WHEN (o.id + ago) % 50 = 0 THEN 48 ELSE 96 END AS known,
                         20 + o.id % 300 + (425 - ago) * (o.id % 7) / 60 + t AS c) AS counts
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO seat_readings (org_id, taken_at, purchased, used, source)
    SELECT o.id, now() - make_interval(days => ago), 60 + o.id % 300, 20 + o.id % 300, 'features'
    FROM orgs o, generate_series(1, 425) AS ago ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO seat_contracts (org_id, purchased, price, currency, renews_on, updated_at)
    SELECT id, 80 + id % 300, 20, (ARRAY['EUR', 'USD'])[1 + id % 2], current_date + id % 300, now() FROM orgs
    WHERE id % 2 = 0 ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO latest_polls (org_id, first_slot, slot, since, polled_at, late_seconds, outcome)
    SELECT id, now() - interval '425 days', now(), now(), now(), 0, 'ok' FROM orgs
    ON CONFLICT (org_id) DO UPDATE SET first_slot = excluded.first_slot
    """,
    "VACUUM (ANALYZE)",
)


class Taken(NamedTuple):
    """Seconds of the whole command, its processor seconds without PostgreSQL's, and its memory at its peak."""

    seconds: float
    processor: float
    megabytes: float


async def main(orgs: int | None = None) -> None:
    """Print the seconds, the memory and the size of the file for HTML and CSV."""
    size = orgs or ORGS
    figures = []
    async with filled_fleet(size) as environ:
        async with await connect(environ["POLLER_DATABASE_URL"], command_timeout=_TIMEOUT_SECONDS) as database:
            await _add_history(database)
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("html", "csv"):
                path = Path(folder) / f"report.{suffix}"
                taken = await _measure(path, environ)
                aim = MOST_SECONDS if suffix == "html" else None
                figures.append(Figure(f"`poller report --out report.{suffix}`, s", taken.seconds, at_most=aim))
                figures.append(Figure("- processor time of the command, s", taken.processor))
                figures.append(Figure("- size of the file, MB", path.stat().st_size / _MB))
                figures.append(Figure("- memory of the command at its peak, MB", taken.megabytes))
    show(f"A monthly report about {size:,} orgs with thirteen months of daily counts", figures)


async def _add_history(database: Database) -> None:
    for statement in _HISTORY:
        await database.execute(statement)


async def _measure(path: Path, environ: Mapping[str, str]) -> Taken:
    """Runs the command once."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _RUN, "report", "--json", "--out", str(path)),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    seconds = time.perf_counter() - started
    assert process.returncode == 0
    facts, used = output.splitlines()
    processor, kilobytes = used.split()
    assert json.loads(facts)["without_counts"] == 0
    return Taken(seconds, float(processor), int(kilobytes) / 1_000)
