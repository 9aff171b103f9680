"""Processes that are killed without warning together stay within the limits of Zoho on tokens."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

from poller.simulator import Simulator, SimulatorOptions, control
from tests.acceptance.processes import machine
from tests.postgres import run_on
from tests.simulated_fleet import import_by_command
from tests.worker.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

ISSUES = 10
"""Access tokens of one refresh token in ten minutes."""


async def test_ten_processes_that_start_together_request_one_token_in_total(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim:
        mine = machine(sim, database_url)
        await import_by_command(sim, tmp_path, mine.run)
        async with asyncio.TaskGroup() as processes:
            polls = [processes.create_task(mine.run("poll", "--json")) for _ in range(10)]
        for poll in polls:
            ended = poll.result()
            assert ended.code == 0, ended.err
            assert {json.loads(line)["outcome"] for line in ended.out.splitlines()} == {"ok"}
        assert [org["token_asks"] for org in sim.audit()["orgs"]] == [1, 1, 1]
        assert sim.audit()["breaches"] == []


async def test_a_fleet_in_a_crash_loop_never_has_more_tokens_issued_than_zoho_allows(
    database_url: str, tmp_path: Path
) -> None:
    """Kills every process right after its token request, and ends every token that exists then."""
    chance = random.Random(7)
    async with Simulator(SimulatorOptions(orgs=1)) as sim:
        mine = machine(sim, database_url, POLLER_REQUEST_TIMEOUT="1s")
        await import_by_command(sim, tmp_path, mine.run)

        def asks() -> int:
            return sum(org["token_asks"] for org in sim.audit()["orgs"])

        for _ in range(ISSUES + 2):
            before = asks()
            several = [await mine.start("poll") for _ in range(2)]
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while asks() == before and any(process.returncode is None for process in several):  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                await asyncio.sleep(chance.uniform(0.0, 0.03))  # killed at any moment of the exchange
            except TimeoutError:
                pass
            for process in several:
                await process.end()
            # Half a minute later the jobs of the dead processes are free.
            await run_on(database_url, "UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 minute'")
            control.end_tokens(sim.zoho, 0)
        assert asks() == ISSUES
        last = await mine.run("poll", "--json")
        row = json.loads(last.out)
        assert (last.code, row["outcome"], row["error"]) == (1, "throttled", "token_budget")
        (org,) = sim.audit()["orgs"]
        assert (org["token_asks"], org["most_token_asks_in_window"]) == (ISSUES, ISSUES)
        assert sim.audit()["breaches"] == []
