"""A poll that a person asks for from a page or the API is made by a running worker within seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller.admin import operations
from poller.core.callers import Caller, Right
from poller.core.errors import ConflictError, UnknownOrgError

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenService = Callable[..., Any]

NOC = Caller("noc", Right.OPERATE)
POLLED = "SELECT count(*) = {} FROM latest_polls WHERE outcome = 'ok' AND polled_at > $1"


async def first_org(mine: Any) -> int:
    org_id: int = await mine.app.database.fetchval("SELECT min(id) FROM orgs")
    return org_id


async def test_a_running_worker_polls_an_org_that_is_asked_for_again_in_the_same_slot(service: OpenService) -> None:
    async with service(orgs=2, interval=3_600) as mine, mine.worker():
        database, org_id = mine.app.database, await first_org(mine)
        before = database.clock.now()
        for _ in range(2):
            before = database.clock.now()
            await mine.until("SELECT count(*) > 0 FROM workers")
            done = await operations.poll(database, NOC, org_id)
            assert (done.changed, done.workers) == (True, 1)
            assert done.message == "A worker polls the org within a few seconds."
            await mine.until(POLLED.format(1), before)
        rows = await mine.rows()
        assert [(row["outcome"], row["requests"]) for row in rows] == [("ok", 20)]
        # Not since the start of the hour: since it was asked for.
        assert 0 <= rows[0]["late_seconds"] <= (rows[0]["polled_at"] - before).total_seconds()
        assert mine.sim.audit()["breaches"] == []


async def test_a_poll_without_a_worker_waits_in_the_queue_once_and_says_so(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, org_id = mine.app.database, await first_org(mine)
        done = await operations.poll(database, NOC, org_id)
        again = await operations.poll(database, NOC, org_id)
        assert (done.changed, again.changed, done.workers) == (True, False, 0)
        assert "No worker runs" in done.message
        assert "asked for already" in again.message
        assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 1
        before = database.clock.now()
        async with mine.worker():
            await mine.until(POLLED.format(1), before)


async def test_a_parked_org_is_probed_when_a_person_asks_for_a_poll(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, org_id = mine.app.database, await first_org(mine)
        await database.execute(
            "UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code', parked_remedy = 'make a new one',"
            " parked_outcome = 'unauthorized', probe_at = now() + interval '1 day'"
        )
        before = database.clock.now()
        async with mine.worker():
            done = await operations.poll(database, NOC, org_id)
            assert done.changed
            await mine.until(POLLED.format(1), before)
            await mine.until("SELECT count(*) = 0 FROM orgs WHERE parked_at IS NOT NULL")


async def test_an_operation_that_would_have_no_effect_is_a_conflict_with_the_reason(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, org_id = mine.app.database, await first_org(mine)
        assert (await operations.pause(database, NOC, org_id)).changed
        assert not (await operations.pause(database, NOC, org_id)).changed
        with pytest.raises(ConflictError, match="is paused; resume it first"):
            await operations.poll(database, NOC, org_id)
        assert (await operations.resume(database, NOC, org_id)).changed
        assert not (await operations.resume(database, NOC, org_id)).changed
        await database.execute("INSERT INTO credit_spend (org_id, bucket, credits) VALUES ($1, now(), 100000)", org_id)
        await database.execute("UPDATE orgs SET edition = 'free'")
        with pytest.raises(ConflictError, match="has spent its share of the credits"):
            await operations.poll(database, NOC, org_id)
        await database.execute("UPDATE orgs SET removed_at = now()")
        with pytest.raises(ConflictError, match="is removed"):
            await operations.pause(database, NOC, org_id)


async def test_an_org_without_the_callers_tags_is_an_unknown_org(service: OpenService) -> None:
    async with service(orgs=1, interval=3_600) as mine:
        database, org_id = mine.app.database, await first_org(mine)
        gold = Caller("gold", Right.OPERATE, ("gold",))
        for operation in (operations.poll, operations.pause, operations.resume):
            with pytest.raises(UnknownOrgError) as foreign:
                await operation(database, gold, org_id)
            with pytest.raises(UnknownOrgError) as unknown:
                await operation(database, gold, 2_000_000_000)
            assert str(foreign.value) == str(unknown.value)
        await database.execute("UPDATE orgs SET tags = '{gold}'")
        assert (await operations.pause(database, gold, org_id)).changed
