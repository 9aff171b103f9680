"""Real processes over one PostgreSQL request tokens, and the simulated Zoho counts these requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from poller.simulator import Fault, control
from tests.acceptance.line import Clock, Line, line

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def another_program_asks(mine: Line, index: int = 0, *, times: int) -> None:
    """Another program requests tokens with the same refresh token, outside the budget of the poller."""
    org = mine.sim.org(index)
    form = {
        "grant_type": "refresh_token",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "refresh_token": org.refresh_token,
    }
    async with mine.zoho() as zoho:
        for _ in range(times):
            await zoho.client.post_token(mine.sim.urls[org.data_center], form)


async def test_a_token_that_every_request_of_a_poll_finds_invalid_is_renewed_once(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=3) as mine:
        await mine.poll()
        for index in range(3):
            control.end_tokens(mine.sim.zoho, index)
        mine.clock.turn(minutes=30)
        polled = await mine.poll()
        assert {one.snapshot.outcome.value for one in polled.values()} == {"ok"}
        assert [mine.audit(index)["token_asks"] for index in range(3)] == [2, 2, 2]
        assert mine.breaches == []


async def test_a_token_that_zoho_dropped_for_sixteen_newer_ones_is_replaced_without_a_gap(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1) as mine:
        await mine.poll()
        await another_program_asks(mine, times=9)
        mine.clock.turn(minutes=11)
        await another_program_asks(mine, times=6)
        control.clear_audit(mine.sim.zoho)
        mine.clock.turn(minutes=19)
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        assert mine.audit()["token_asks"] == 1
        assert mine.breaches == []


async def test_consent_withdrawn_since_the_last_poll_parks_the_org_with_a_remedy(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=2) as mine:
        await mine.poll()
        control.revoke(mine.sim.zoho, 0)
        mine.clock.turn(hours=1)
        await mine.poll()
        row, org, other = await mine.row(0), await mine.org(0), await mine.row(1)
        assert (row["outcome"], row["error"], row["counts"]) == ("unauthorized", "invalid_code", {})
        assert org["parked_code"] == "invalid_code"
        assert org["parked_remedy"].startswith("Zoho no longer takes the org's refresh token: the consent was revoked")
        assert "make a new grant code" in org["parked_remedy"]
        assert (org["probe_at"] - mine.clock.now()).total_seconds() == mine.app.settings.poll_interval_seconds
        assert other["outcome"] == "ok"


async def test_consent_withdrawn_during_a_poll_keeps_the_counts_received_before(
    database: Database, keyring: Keyring
) -> None:
    withdrawn = (
        Fault(name="invalid_token", user_type="AdminUsers"),
        Fault(name="token_invalid_code", since=Clock().seconds + 1),
    )
    async with line(database, keyring, orgs=1, faults=withdrawn) as mine:
        async with mine.zoho() as zoho:  # the token is an hour's before anything goes wrong
            (org,) = await mine.orgs()
            await zoho.tokens.get(org)
        mine.clock.turn(seconds=2)
        await mine.poll()
        row = await mine.row()
        assert (row["outcome"], row["error"]) == ("partial", "invalid_code")
        assert (len(row["counts"]), row["errors"]) == (9, {"AdminUsers": "invalid_code"})
        assert (await mine.org())["parked_code"] == "invalid_code"
        assert mine.audit()["token_asks"] == 2


async def test_the_expiry_of_a_token_is_taken_from_the_replies_to_count_requests(
    database: Database, keyring: Keyring
) -> None:
    """The token reply has no lifetime, so an hour is assumed; the count replies give half of an hour."""
    faults = (Fault(name="token_no_expires_in"),)
    async with line(database, keyring, orgs=1, token_seconds=1_800, faults=faults) as mine:
        await mine.poll()
        mine.clock.turn(minutes=29)
        polled = await mine.poll_one()
        assert (polled.snapshot.outcome, polled.snapshot.requests) == ("ok", 10)
        assert mine.audit()["token_asks"] == 2


async def test_a_day_of_polls_uses_about_one_token_an_hour_and_no_token_request_is_refused(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, seed=3) as mine, mine.process() as poll:
        for _ in range(96):
            (polled,) = (await poll()).values()
            assert (polled.snapshot.outcome, polled.snapshot.requests) == ("ok", 10)
            mine.clock.turn(minutes=15)
        assert 24 <= mine.audit()["token_issues"] <= 32
        assert mine.breaches == []


@pytest.mark.parametrize("index", [0, 1])
async def test_each_throttled_token_request_starts_a_cool_down_longer_than_the_one_before(
    database: Database, keyring: Keyring, index: int
) -> None:
    """Org 0 gets the refusal with status 400 and org 1 with 200, each in another language."""
    settings = {"poll_interval_seconds": 60}
    async with line(database, keyring, orgs=2, settings=settings) as mine, mine.process() as poll:
        await another_program_asks(mine, index, times=10)
        control.clear_audit(mine.sim.zoho)
        asked_at: list[int] = []
        for minute in range(32):
            row = (await poll())[mine.names[index]].snapshot
            assert (row.outcome, row.error, row.requests) == ("throttled", "throttled", 0)
            asked_at += [minute] * (mine.audit(index)["token_asks"] - len(asked_at))
            mine.clock.turn(minutes=1)
            if minute < 25:  # another program keeps the endpoint throttled
                mine.sim.zoho.org_state(index).throttled_until = mine.clock() + 600
        assert asked_at == [0, 10, 30]
        assert (await mine.org(index))["parked_at"] is None
        assert mine.breaches == []


async def test_a_parked_org_has_a_row_for_every_slot_and_is_probed_hourly_at_first_and_daily_later(
    database: Database, keyring: Keyring
) -> None:
    settings = {"poll_interval_seconds": 3_600}
    async with line(database, keyring, orgs=2, settings=settings) as mine, mine.process() as poll:
        control.revoke(mine.sim.zoho, 0)
        probes: list[int] = []
        for hour in range(5 * 24):
            before = mine.audit(0)["token_asks"]
            polled = await poll()
            row = polled[mine.names[0]].snapshot
            assert (row.outcome, row.error, row.requests) == ("unauthorized", "invalid_code", 0)
            assert polled[mine.names[1]].snapshot.outcome == "ok"
            probes += [hour] * (mine.audit(0)["token_asks"] - before)
            mine.clock.turn(hours=1)
        assert probes == [0, 1, 3, 7, 15, 31, 55, 79, 103]
        assert len(await mine.rows(0)) == len(await mine.rows(1)) == 5 * 24
        control.restore(mine.sim.zoho, 0)
        while (await poll())[mine.names[0]].snapshot.outcome != "ok":
            mine.clock.turn(hours=1)
        assert mine.clock() - Clock().seconds == 127 * 3_600
        assert (await mine.org(0))["parked_at"] is None
        assert mine.breaches == []


async def test_a_probe_that_finds_zoho_unavailable_is_not_repeated_in_every_slot(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, settings={"poll_interval_seconds": 900}) as mine:
        mine.sim.add_faults(Fault(name="oauth_scope_mismatch"))
        await mine.poll()
        mine.sim.clear_faults()
        mine.sim.add_faults(Fault(name="bad_gateway"))
        mine.clock.turn(hours=1)
        outcomes = []
        for _ in range(5):
            row = (await mine.poll_one()).snapshot
            outcomes.append((row.outcome.value, row.error, row.requests))
            mine.clock.turn(minutes=15)
        probed, not_asked = ("unavailable", "http_502", 30), ("forbidden", "OAUTH_SCOPE_MISMATCH", 0)
        assert outcomes == [probed, not_asked, probed, not_asked, not_asked]
        org = await mine.org()
        assert (org["parked_code"], org["probes"]) == ("OAUTH_SCOPE_MISMATCH", 3)


async def test_new_consent_that_is_imported_unparks_at_once(database: Database, keyring: Keyring) -> None:
    async with line(database, keyring, orgs=1) as mine:
        control.revoke(mine.sim.zoho, 0)
        await mine.poll()
        assert (await mine.org())["parked_at"] is not None
        control.rotate(mine.sim.zoho, 0)
        await mine.import_again(mine.sim.fleet())
        mine.clock.turn(minutes=1)
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        assert (await mine.org())["parked_at"] is None


async def test_ten_workers_that_start_together_request_one_token_in_total(database: Database, keyring: Keyring) -> None:
    async with line(database, keyring, orgs=4) as mine:
        async with asyncio.TaskGroup() as workers:
            polls = [workers.create_task(mine.poll()) for _ in range(10)]
        # Who finds an org being polled by another leaves it to that one.
        outcomes = [(name, one.snapshot.outcome.value) for poll in polls for name, one in poll.result().items()]
        assert set(outcomes) == {(org.name, "ok") for org in mine.sim.fleet()}
        assert [mine.audit(index)["token_asks"] for index in range(4)] == [1] * 4
        assert mine.breaches == []


async def test_no_token_is_sent_anywhere_after_a_token_reply_that_names_a_foreign_domain(
    database: Database, keyring: Keyring
) -> None:
    faults = (Fault(name="token_forged_api_domain", org=0), Fault(name="token_redirect", org=1))
    async with line(database, keyring, orgs=2, faults=faults) as mine:
        await mine.poll()
        rows = [await mine.row(index) for index in range(2)]
        assert [row["error"] for row in rows] == ["forged_api_domain", "http_307"]
        assert mine.sim.audit()["requests"] == {"token": 2}
        assert (await mine.org(0))["parked_at"] is None
        mine.sim.clear_faults()
        mine.clock.turn(minutes=30)
        assert {one.snapshot.outcome.value for one in (await mine.poll()).values()} == {"ok"}
        assert mine.breaches == []
