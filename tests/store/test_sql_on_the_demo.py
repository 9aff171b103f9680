"""The queries of docs/sql.md on the fleet of the demo: with names and days of the demo, each returns rows."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from poller.demo import DemoOptions, open_demo
from poller.settings import Settings
from poller.store.series.rollups import roll_up
from tests.store.analysts import TODAY
from tests.store.series.test_sql_questions import questions

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = DemoOptions(orgs=6, days=120)
ABOUT_TROUBLE = {5, 6, 14, 15, 19, 21}
"""Tags, silent orgs, new administrators and the like: on some days the demo's fleet has none, and no row is right."""


def of_the_demo(query: str, names: list[str]) -> str:
    """The query with names of the demo, and as many days ago as in the document."""
    moved = datetime.now(UTC).date() - TODAY
    query = re.sub(r"2025-\d\d-\d\d", lambda found: str(max(date.fromisoformat(found[0]) + moved, since())), query)
    for ours, theirs in zip(("acme", "birch", "cedar", "dune"), names, strict=False):
        query = query.replace(f"'{ours}'", "'" + theirs.replace("'", "''") + "'")
    return query


def since() -> date:
    return date.fromordinal(datetime.now(UTC).date().toordinal() - OPTIONS.days)


async def test_every_documented_query_works_on_the_fleet_of_the_demo(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    async with open_demo(settings, OPTIONS) as demo:
        await demo.import_fleet()
        await demo.back_fill(lambda _done, _total: None)
        names = [org.name for org in sorted(demo.simulator.fleet(), key=lambda org: -org.licences)]
        database = demo.app.database
        await roll_up(database, datetime.now(UTC).date())
        answered = set()
        async with database.connection() as connection:
            await connection.execute("SET ROLE poller_reader")
            for number, question in questions().items():
                if await connection.fetch(of_the_demo(question["sql"], names)):
                    answered.add(number)
            await connection.execute("RESET ROLE")
        assert answered | ABOUT_TROUBLE == set(questions())
