"""The output of `poller plan` as text and as JSON, and the errors for invalid changes."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.fleet import WorkerRecord
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.policy import PollPolicy
from poller.core.slots import slot_of
from poller.store.database import Database, connect
from poller.store.orgs import credits as credit_store
from poller.store.queue.service_settings import save_service_settings
from poller.store.queue.workers import heartbeat_worker
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

ORGS = """
INSERT INTO orgs (name, data_center, edition, licences, poll_interval_seconds, created_at, paused_at, paused_reason)
SELECT edition || ' ' || n, 'eu', edition, licences, interval, now() - interval '30 days',
       CASE WHEN edition = 'ultimate' THEN now() END, CASE WHEN edition = 'ultimate' THEN 'by hand' END
FROM (VALUES ('enterprise', 40, NULL, 6), ('free', 3, NULL, 14), ('standard', 20, 3600, 2), ('ultimate', 9, NULL, 1))
     AS kinds (edition, licences, interval, orgs), generate_series(1, orgs) AS n
"""


@pytest.fixture
def fleet(on_database: str) -> str:
    """22 orgs of three editions; an ultimate one is paused."""

    async def write() -> None:
        async with await connect(on_database) as database:
            await database.execute(ORGS)

    asyncio.run(write())
    return on_database


def answer(ended: Ended) -> dict[str, Any]:
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def by_edition(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["edition"]: row for row in plan["groups"]}


def figure(plan: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in plan["figures"] if one["name"] == name)


def test_the_plan_of_a_fleet_without_polls_is_made_with_defaults(poller: Poller, fleet: str) -> None:
    plan = answer(poller("plan", "--json"))
    assert (plan["orgs"], plan["stretched_orgs"], plan["workers"], plan["now"]) == (22, 14, 1, None)
    assert plan["credits_a_day"] == 6 * 962 + 14 * 482 + 2 * 242
    rows = by_edition(plan)
    assert rows.keys() == {"enterprise", "free", "standard"}
    free = rows["free"]
    assert (free["interval_seconds"], free["effective_interval_seconds"]) == (900, 1_800)
    assert free["credits_per_org_and_day"] == 482
    assert free["allowance_share"] == 482 / 5_000
    assert rows["standard"]["effective_interval_seconds"] == 3_600
    assert [one["org"] for one in plan["stretched"]] == sorted(f"free {number}" for number in range(1, 15))
    assert not any(one["measured"] for one in plan["figures"])
    assert "docs/benchmarks.md" in figure(plan, "processor_seconds")["source"]
    assert plan["database_bytes_now"] > 1_000_000


def test_a_change_is_planned_beside_the_fleet_as_it_is(poller: Poller, fleet: str) -> None:
    before = answer(poller("plan", "--json"))
    change = "interval=5m,orgs=+200,share=0.2"
    plan = answer(poller("plan", "--what-if", change, "--what-if", "orgs=+5,edition=crmplus", "--json"))
    assert plan["what_if"] == [change, "orgs=+5,edition=crmplus"]
    assert (plan["orgs"], plan["interval_seconds"], plan["credit_share"]) == (227, 300, 0.2)
    assert {name: value for name, value in before.items() if name in plan["now"]} == plan["now"]
    assert by_edition(plan)["crmplus"]["orgs"] == 5
    assert {row["interval_seconds"] for row in plan["groups"]} == {300}
    named = [one for one in plan["stretched"] if one["org"] is not None]
    (nameless,) = (one for one in plan["stretched"] if one["org"] is None and one["edition"] == "free")
    assert len(named) == 14
    assert nameless["orgs"] + 14 == by_edition(plan)["free"]["orgs"]
    assert answer(poller("plan", "--json")) == before


def test_the_plan_for_people_names_stretched_orgs_credits_workers_and_disk(poller: Poller, fleet: str) -> None:
    ended = poller("plan", "--what-if", "orgs=+200")
    assert (ended.code, ended.err) == (0, "")
    assert "141 orgs are stretched (free): polled every 30m instead of 15m: free 1, free 10," in ended.out
    assert "4 more (--json names all), 127 without a name yet." in ended.out
    assert "222 orgs cost 131,484 credits a day, 592 an org." in ended.out
    assert "1 worker is enough (0 running)" in ended.out
    assert "of disk for" in ended.out
    assert "Snapshots, kept for 13mo, take at most" in ended.out
    assert "default: the benchmark in docs/benchmarks.md" in ended.out
    (orgs,) = (line.split() for line in ended.out.splitlines() if line.startswith("orgs "))
    assert orgs == ["orgs", "22", "222"]


def test_the_settings_of_the_service_are_planned_with_and_else_those_of_this_process(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "30m")
    assert answer(poller("plan", "--json"))["interval_seconds"] == 1_800

    async def serve() -> None:
        async with await connect(fleet) as database:
            await save_service_settings(database, PollPolicy(600, 0.3), database.clock.now())

    asyncio.run(serve())
    plan = answer(poller("plan", "--json"))
    assert (plan["interval_seconds"], plan["credit_share"]) == (600, 0.3)


def test_an_empty_installation_can_be_planned_for_a_fleet_to_come(poller: Poller, on_database: str) -> None:
    ended = poller("plan")
    assert (ended.code, ended.err) == (0, "")
    assert "No org is polled" in ended.out
    assert answer(poller("plan", "--json"))["workers"] == 0
    plan = answer(poller("plan", "--what-if", "orgs=2000,edition=enterprise,licences=40", "--json"))
    assert (plan["orgs"], plan["credits_a_day"], plan["now"]["orgs"]) == (2_000, 2_000 * 962, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("speed=2", "--what-if 'speed=2' is not a change; write interval=5m, orgs=+200, share=0.2, edition=enterprise"),
        ("", "--what-if '' is not a change; write interval=5m"),
        ("interval=soon", "--what-if interval: 'soon' is not a duration: write 15m, 1h, 1d, 12w or 1y; correct it"),
        ("edition=gold", "--what-if edition: 'gold' is not an edition: use free, standard"),
        ("orgs=-23", "--what-if orgs=-23: there are 22 such orgs; take away fewer"),
    ],
)
def test_a_wrong_change_gets_one_line_with_its_remedy(poller: Poller, fleet: str, change: str, said: str) -> None:
    ended = poller("plan", "--what-if", change)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.error


async def write_measured_day(database: Database) -> None:
    """A day in which every poll took 11 requests and 0.66 s, each org 3 requests more, and a worker 2 ms a poll."""
    now: datetime = database.clock.now()
    until = slot_of(now, 900)
    orgs = await database.fetch("SELECT id FROM orgs WHERE edition = 'enterprise' ORDER BY id")
    counts = dict.fromkeys(USER_TYPES, 7)
    for number in range(1, 97):
        at = until - timedelta(minutes=15 * number)
        await write_snapshots(
            database,
            [Snapshot(row["id"], at, at, Outcome.OK, requests=11, duration_ms=660, counts=counts) for row in orgs],
        )
        await credit_store.spend(database, {row["id"]: 11 + (3 if number == 5 else 0) for row in orgs}, at)
    facts = {"polls": 200_000, "cpu_seconds": 400.0}
    worker = WorkerRecord(uuid.uuid4(), "worker", "1", now - timedelta(hours=20), now, facts)
    await heartbeat_worker(database, worker)
    await database.execute(
        "INSERT INTO daily_counts (type, day, org_id, samples, missing)"
        " SELECT t, current_date - n, 1, 96, 0 FROM generate_series(1, 3000) AS n, generate_series(1, 10) AS t"
    )
    await database.execute("ANALYZE daily_counts")


def test_what_this_installation_measured_takes_the_place_of_defaults(poller: Poller, fleet: str) -> None:
    async def write() -> tuple[int, int]:
        async with await connect(fleet) as database:
            await write_measured_day(database)
            (row,) = await database.fetch("SELECT pg_total_relation_size('daily_counts') AS bytes")
            return row["bytes"], 30_000

    size, rows = asyncio.run(write())
    plan = answer(poller("plan", "--json"))
    measured = {one["name"]: one["value"] for one in plan["figures"] if one["measured"]}
    assert measured == {
        "requests_per_poll": 11,
        "extra_requests": 3,
        # Eleven requests, ten at once: 1.1 rounds in 0.66 s.
        "request_seconds": 0.6,
        "processor_seconds": 0.002,
        "daily_count_bytes": pytest.approx(size / rows, rel=0.01),
    }
    assert plan["credits_per_org_measured"] == 96 * 11 + 3
    assert by_edition(plan)["enterprise"]["credits_per_org_and_day"] == 96 * 11 + 3
    assert plan["running_workers"] == 1
    assert figure(plan, "requests_per_poll")["source"] == "576 polls of 24 hours"
    assert "measured: 200,000 polls of 1 worker" in poller("plan").out
