"""Orgs are removed, purged and imported again during polls; the other orgs are not affected."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.app import open_runner
from poller.polling.poll_all import poll_all
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import purge, remove
from tests.simulated_fleet import entries_of
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from poller.polling.results import PollResult
    from tests.worker.conftest import Service

ROUNDS = 25
TABLES_BY_ORG = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attname = 'org_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT a.attisdropped
ORDER BY 1
"""
"""Every table with rows of orgs, including those of new migrations."""


async def come_and_go(service: Service, names: Sequence[str], chance: random.Random) -> None:
    """Repeatedly removes or purges some of these orgs and imports them again."""
    settings, database = service.app.settings, service.app.database
    rows = (org.row() for org in service.sim.fleet())
    entries = {entry.name: entry for entry in entries_of(rows, settings.data_centers)}
    for _ in range(ROUNDS):
        some = chance.sample(sorted(names), k=len(names) // 2)
        if chance.random() < 0.5:
            await remove(database, some, datetime.now(UTC))
        await purge(database, some)
        await import_orgs(database, service.app.keyring, [entries[name] for name in some])
        await asyncio.sleep(chance.random() * 0.1)  # so that they vanish at any point of a poll


async def test_a_worker_and_a_command_keep_polling_while_orgs_are_removed_purged_and_imported_again(
    service: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    polled: list[PollResult] = []
    async with service(orgs=24, interval=1) as mine, mine.worker() as worker:
        await eventually(lambda: worker.polls >= 24)
        staying, leaving = mine.names[:8], mine.names[8:]

        async def sweep_until(done: asyncio.Event) -> None:
            async with open_runner(mine.app) as fleet:
                while not done.is_set():
                    await poll_all(fleet, None, polled.extend)

        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sweep_until(done))
            try:
                await come_and_go(mine, leaving, random.Random(7))
            finally:
                done.set()
        before = worker.polls
        await eventually(lambda: worker.polls > before + 24)
        assert {one.snapshot.outcome.value for one in polled if one.org.name in staying} == {"ok"}
        ids = "SELECT id FROM orgs"
        tables = [row[0] for row in await mine.app.database.fetch(TABLES_BY_ORG)]
        assert {"org_credentials", "org_snapshots", "latest_snapshots", "seat_readings"} <= set(tables)
        for table in tables:
            left = await mine.app.database.fetchval(f"SELECT count(*) FROM {table} WHERE org_id NOT IN ({ids})")
            assert (table, left) == (table, 0)
