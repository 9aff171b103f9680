"""What an evaluation of the alert rules of a new installation costs for a fleet with 90 days of counts."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.fleet import filled_fleet
from benchmarks.web import add_history
from poller.store.database import connect
from poller.worker.alerting import evaluate_alerts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.alerts import AlertTransition
    from poller.store.queries import Connection

ORGS: Final = 10_000
ROUNDS: Final = 7
_TIMEOUT_SECONDS: Final = 600
_OPEN: Final = "SELECT count(*) FROM alerts WHERE state <> 'resolved'"


async def main(orgs: int | None = None) -> None:
    """Print the seconds of the first evaluation, which opens the alerts, and of later ones that change nothing."""
    size = orgs or ORGS
    async with (
        filled_fleet(size) as environ,
        await connect(environ["POLLER_DATABASE_URL"], command_timeout=_TIMEOUT_SECONDS) as database,
    ):
        await add_history(environ["POLLER_DATABASE_URL"])
        taken = []
        for _ in range(1 + ROUNDS):
            began, processor = time.perf_counter(), time.process_time()
            await evaluate_alerts(database, database.clock.now(), _no_messages)
            taken.append((time.perf_counter() - began, time.process_time() - processor))
        alerts = await database.fetchval(_OPEN)
    figures = [
        Figure("open alerts", float(alerts), "{:,.0f}"),
        Figure("the first evaluation, s", taken[0][0]),
        Figure("a later one, s", median(seconds for seconds, _ in taken[1:])),
        Figure("- processor time of Python, s", median(processor for _, processor in taken[1:])),
    ]
    show(f"An evaluation of the alert rules: {size:,} orgs, 90 days", figures)


async def _no_messages(_connection: Connection, _transitions: Sequence[AlertTransition]) -> None:
    """There are no addresses."""
