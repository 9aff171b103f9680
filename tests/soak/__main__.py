"""`make soak`: runs the service for an accelerated month, and checks whether it could run for years.

A worker as in `poller run` polls a thousand simulated orgs. The worker, `now()` of PostgreSQL and the simulated Zoho
share a clock that is 1,440 times faster than real time: days change, months are created, rolled up and dropped, indexes
are rebuilt, credits and tokens expire, and maintenance tasks run as often as in a month.
The number of polls is lower than in a month: two cores have to suffice, so an org is polled every six hours instead of
every 15 minutes. Of a thousand calls four fail, and a data centre is unreachable for an hour a week. Lateness is given
in seconds of real time.
Exit code: 0 if everything is bounded and every slot has its row, otherwise 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from poller.core.slots import parse_interval
from poller.store.series.partitions import drop_partitions
from tests.soak import watch
from tests.soak.clock import DAY_SECONDS
from tests.soak.report import report
from tests.soak.verdict import complaints
from tests.soak.world import Plan, leave, world

if TYPE_CHECKING:
    from tests.soak.world import World

MONTH_ENDS: Final = datetime(2027, 2, 1, tzinfo=UTC)
"""In the middle of the run."""
_SHORTEST_RUN_SECONDS: Final = 20.0
_SHORTEST_INTERVAL_SECONDS: Final = 5.0
"""Slots are handed out up to three seconds ahead."""
_LOOK_SECONDS: Final = 1.0
_AFTERWARDS_SECONDS: Final = 5.0


def main() -> int:
    plan = _plan()
    try:
        with tempfile.TemporaryDirectory(prefix="poller-soak-") as folder:
            found = asyncio.run(_soak(plan, Path(folder)))
    except KeyboardInterrupt:
        return 130
    for line in report(plan, found):
        _tell(line)
    wrong = list(complaints(plan, found))
    for line in wrong:
        _tell(f"  WRONG: {line}")
    return 1 if wrong else 0


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=float, default=30.0, help="of the clock of the service")
    parser.add_argument("--day-seconds", type=float, default=60.0, help="that such a day takes")
    parser.add_argument("--orgs", type=int, default=1_000)
    parser.add_argument("--interval", type=_interval, default="6h", help="between two polls of an org")
    given = parser.parse_args()
    if given.orgs < 1 or given.day_seconds <= 0 or given.days * given.day_seconds < _SHORTEST_RUN_SECONDS:
        parser.error(f"a run takes an org and {_SHORTEST_RUN_SECONDS:.0f} seconds at least: raise --days")
    if given.interval * given.day_seconds / DAY_SECONDS < _SHORTEST_INTERVAL_SECONDS:
        parser.error(f"an interval takes {_SHORTEST_INTERVAL_SECONDS:.0f} seconds of the wall's at least: raise it")
    return Plan(given.orgs, given.days, given.day_seconds, given.interval)


def _interval(text: str) -> int:
    try:
        return parse_interval(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from wrong


async def _soak(plan: Plan, folder: Path) -> watch.Found:
    found = watch.Found()
    async with world(plan, MONTH_ENDS - timedelta(days=plan.days / 2), folder) as there:
        async with aiohttp.ClientSession() as session:
            begins_at = there.clock.now()
            await _look_until(begins_at + timedelta(days=plan.days), there, session, found)
            await _drop_the_month(plan, there, found, begins_at)
            # The service goes on as if nothing had happened.
            longer = timedelta(seconds=there.clock.scaled(_AFTERWARDS_SECONDS))
            await _look_until(there.clock.now() + longer, there, session, found)
            found.code = await leave(there.worker)
            found.audit = await _audit(there, session)
        found.without_row += await watch.slots_without_row(there.database, plan.interval_seconds)
        found.outcomes += await watch.outcomes(there.database)
        watch.read_log(there.log, found)
    return found


async def _look_until(end: datetime, there: World, session: aiohttp.ClientSession, found: watch.Found) -> None:
    while there.clock.now() < end and there.worker.returncode is None:
        try:
            async with session.get(f"{there.worker_url}/metrics", raise_for_status=True) as answer:
                await answer.read()
        except aiohttp.ClientError as error:
            found.errors[f"/metrics: {type(error).__name__}"] += 1
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        now = there.clock.now()
        at = (now - MONTH_ENDS) / timedelta(days=1)
        found.samples.append(await watch.look(at, there.worker.pid, there.zoho.pid, there.database))
        if found.samples[-2:][0].at // 1 != at // 1:
            sample = found.samples[-1]
            _progress(f"{now:%d %B}: {sample.worker_mb:.1f} MB, {sample.tables['org_snapshots'].rows:,} rows")
        await asyncio.sleep(_LOOK_SECONDS)


async def _drop_the_month(plan: Plan, there: World, found: watch.Found, begins_at: datetime) -> None:
    """Runs retention; first samples what would no longer exist afterwards."""
    interval = timedelta(seconds=plan.interval_seconds)
    found.without_row += await watch.slots_without_row(there.database, plan.interval_seconds)
    found.orgs = await watch.orgs_with_rows(there.database, begins_at + interval, there.clock.now() - 3 * interval)
    found.outcomes += await watch.outcomes(there.database, until=MONTH_ENDS)
    found.dropped = await drop_partitions(there.database, MONTH_ENDS)


async def _audit(there: World, session: aiohttp.ClientSession) -> dict[str, object]:
    (home, *_) = there.data_centers.values()
    async with session.get(f"{home['accounts_server']}/__sim/audit") as answer:
        audit: dict[str, object] = await answer.json()
        return audit


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
