"""How long each query of the Grafana dashboards takes in PostgreSQL, as `poller_reader`, on a fleet with 90 days."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.fleet import filled_fleet
from benchmarks.web import add_history
from poller.store.database import connect
from tools.grafana import fleet, org
from tools.grafana.panels import Sql
from tools.grafana.variables import with_values

if TYPE_CHECKING:
    from poller.store.database import Database

ORGS: Final = 1_000
ROUNDS: Final = 7
_MOST_MS: Final = 200.0
_ORG: Final = 500


async def main(orgs: int | None = None) -> None:
    """Print the table, the slowest query first."""
    async with (
        filled_fleet(orgs or ORGS) as environ,
        await connect(environ["POLLER_DATABASE_URL"], command_timeout=600) as database,
    ):
        await add_history(environ["POLLER_DATABASE_URL"])
        taken = {
            f"{name}: {panel.title}": await _milliseconds(database, query.text)
            for name, panels in (("Fleet", fleet.PANELS), ("Org", org.PANELS))
            for panel in panels
            for _, query in panel.queries
            if isinstance(query, Sql)
        }
    slowest = sorted(taken.items(), key=lambda one: -one[1])
    figures = [Figure(f"{name}, ms", value, "{:,.1f}", at_most=_MOST_MS) for name, value in slowest]
    show(f"Queries of Grafana's panels: {orgs or ORGS:,} orgs, 90 days", figures)


async def _milliseconds(database: Database, query: str) -> float:
    taken = []
    for _ in range(ROUNDS):
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL ROLE poller_reader")
            began = time.perf_counter()
            await connection.fetch(with_values(query, _ORG))
            taken.append(1_000 * (time.perf_counter() - began))
    return median(taken)
