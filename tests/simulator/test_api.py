from __future__ import annotations

import asyncio
import math
from collections import Counter
from email.utils import parsedate_to_datetime

import pytest

from poller.simulator import control, rules
from tests.simulator.caller import Caller, Got, org_of_edition, playing
from tests.worker.waiting import eventually

DAY = 86_400


async def _side_by_side(caller: Caller, index: int, number: int) -> list[Got]:
    token = await caller.token(index)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(caller.call(index, token)) for _ in range(number)]
    return [call.result() for call in calls]


@pytest.mark.parametrize(
    ("edition", "licences", "credits_a_day", "in_flight"),
    [
        ("free", 3, 5_000, 5),
        ("standard", 10, 52_500, 10),
        ("standard", 1_000, 100_000, 10),
        ("starter", 4, 51_000, 10),
        ("professional", 10, 55_000, 15),
        ("professional", 100_000, 3_000_000, 15),
        ("enterprise", 10, 60_000, 20),
        ("zohooneenterprise", 100_000, 5_000_000, 20),
        ("ultimate", 10, 70_000, 25),
        ("crmplus", 100_000, 200_050_000, 25),
    ],
)
def test_each_edition_has_its_own_credits_and_calls_in_flight(
    edition: str, licences: int, credits_a_day: int, in_flight: int
) -> None:
    assert rules.credits_per_day(edition, licences) == credits_a_day
    assert rules.calls_in_flight(edition) == in_flight


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        ("ZohoCRM.users.READ", True),
        ("ZohoCRM.Users.ALL", True),
        ("ZohoCRM.org.READ,zohocrm.users.read", True),
        ("ZohoCRM.org.ALL", False),
        ("", False),
    ],
)
def test_a_scope_is_granted_by_its_own_name_or_by_all_in_any_letter_case(granted: str, *, allowed: bool) -> None:
    assert rules.scope_allows(rules.normal_scopes(granted), "ZohoCRM.users.READ") is allowed


async def test_calls_above_the_in_flight_limit_of_the_edition_are_refused_with_both_error_codes() -> None:
    async with playing(orgs=40, latency_median_seconds=1.0) as caller:
        free = org_of_edition(caller.sim, "free")
        replies = await _side_by_side(caller, free, 9)
        assert Counter(reply.status for reply in replies) == {200: 5, 429: 4}
        refused = [reply.json["code"] for reply in replies if reply.status == 429]
        assert Counter(refused) == {"TOO_MANY_REQUESTS": 2, 429: 2}
        older = next(reply.json for reply in replies if reply.status == 429 and reply.json["code"] == 429)
        assert {"error", "error_info"} <= older.keys()
        assert caller.sim.audit()["most_in_flight"] == 9
        assert [breach for breach in caller.breaches if "9 calls in flight, 5 allowed" in breach]


async def test_calls_up_to_the_in_flight_limit_of_the_edition_are_served() -> None:
    async with playing(orgs=40, latency_median_seconds=1.0) as caller:
        free = org_of_edition(caller.sim, "free")
        assert {reply.status for reply in await _side_by_side(caller, free, 5)} == {200}
        assert {reply.status for reply in await _side_by_side(caller, free, 5)} == {200}
        assert caller.breaches == []


async def test_a_call_whose_client_disconnects_is_no_longer_in_flight() -> None:
    async with playing(orgs=40, latency_median_seconds=30.0) as caller:
        index = org_of_edition(caller.sim, "free")
        state = caller.sim.zoho.org_state(index)
        token = caller.sim.zoho.issue(state, state.scopes)
        calling = asyncio.ensure_future(caller.call(index, token))
        await eventually(lambda: state.in_flight)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(60):
            while state.in_flight:  # noqa: ASYNC110 - the simulator has no event for it
                await asyncio.sleep(0)
        assert state.audit.most_in_flight == 1


async def test_credits_count_over_a_rolling_day_and_return_after_it() -> None:
    async with playing(orgs=40, token_seconds=10 * DAY) as caller:
        free = org_of_edition(caller.sim, "free")
        token = await caller.token(free)
        assert control.spend(caller.sim.zoho, free, 2_000) == 3_000
        caller.clock.at += DAY / 2
        assert "X-API-CREDITS-REMAINING" not in (await caller.call(free, token)).headers
        control.spend(caller.sim.zoho, free, 2_998)
        assert (await caller.call(free, token)).headers["X-API-CREDITS-REMAINING"] == "0"
        refused = await caller.call(free, token)
        assert refused.status == 429
        assert "X-API-CREDITS-REMAINING" not in refused.headers
        caller.clock.at += DAY / 2 + 900
        again = await caller.call(free, token)
        assert again.status == 200
        assert again.headers["X-API-CREDITS-REMAINING"] == "1999"


async def test_remaining_credits_are_in_the_reply_once_half_are_spent() -> None:
    async with playing(orgs=40) as caller:
        free = org_of_edition(caller.sim, "free")
        token = await caller.token(free)
        control.spend(caller.sim.zoho, free, 2_498)
        assert "X-API-CREDITS-REMAINING" not in (await caller.call(free, token)).headers
        assert (await caller.call(free, token)).headers["X-API-CREDITS-REMAINING"] == "2500"


@pytest.mark.parametrize("spelling", ["off", "seconds", "date"])
async def test_a_429_can_have_a_retry_after_header(spelling: str) -> None:
    async with playing(orgs=40, retry_after=spelling, retry_after_seconds=40) as caller:
        free = org_of_edition(caller.sim, "free")
        token = await caller.token(free)
        control.spend(caller.sim.zoho, free, 5_000)
        header = (await caller.call(free, token)).headers.get("Retry-After")
        match spelling:
            case "off":
                assert header is None
            case "seconds":
                assert header == "40"
            case _:
                assert header is not None
                assert parsedate_to_datetime(header).timestamp() == math.floor(caller.clock.at + 40)


async def test_a_call_before_the_end_of_retry_after_is_recorded_as_a_breach() -> None:
    async with playing(orgs=40, retry_after="seconds", retry_after_seconds=40) as caller:
        free = org_of_edition(caller.sim, "free")
        token = await caller.token(free)
        control.spend(caller.sim.zoho, free, 5_000)
        await caller.call(free, token)
        await caller.call(free, token)  # on its way when the first was refused
        assert caller.breaches == []
        caller.clock.at += 39
        await caller.call(free, token)
        (breach,) = caller.breaches
        assert "1 calls before the Retry-After" in breach


async def test_a_call_after_the_end_of_retry_after_is_not_a_breach() -> None:
    async with playing(orgs=40, retry_after="date", retry_after_seconds=40) as caller:
        free = org_of_edition(caller.sim, "free")
        token = await caller.token(free)
        control.spend(caller.sim.zoho, free, 5_000)
        await caller.call(free, token)
        caller.clock.at += 40
        await caller.call(free, token)
        assert caller.breaches == []


async def test_scopes_and_api_access_can_be_taken_away() -> None:
    async with playing() as caller:
        control.narrow(caller.sim.zoho, 0, "ZohoCRM.org.READ")
        token = await caller.token(0)
        assert (await caller.call(0, token, "org")).status == 200
        mismatch = await caller.call(0, token)
        assert (mismatch.status, mismatch.json["code"]) == (401, "OAUTH_SCOPE_MISMATCH")
        control.deny_api(caller.sim.zoho, 0)
        denied = await caller.call(0, token, "org")
        assert (denied.status, denied.json["code"]) == (403, "NO_PERMISSION")
        assert denied.json["details"] == {"permissions": ["Crm_Implied_Api_Access"]}
        control.restore(caller.sim.zoho, 0)
        assert (await caller.call(0, await caller.token(0))).status == 200


async def test_a_token_used_in_another_data_centre_is_invalid_and_recorded_as_a_breach() -> None:
    async with playing() as caller:
        token = await caller.token(0)
        elsewhere = caller.sim.urls[caller.sim.org(1).data_center]
        reply = await caller.ask("GET", f"{elsewhere}/crm/v7/org", Authorization=f"Zoho-oauthtoken {token}")
        assert (reply.status, reply.json["code"]) == (401, "INVALID_TOKEN")
        assert caller.breaches == ["a token of org 0 (sim-us) was sent to sim-eu"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/crm/v7/users/actions/count?type=Everyone", 400, "INVALID_DATA"),
        ("GET", "/crm/v7/users/actions/counts", 404, "INVALID_URL_PATTERN"),
        ("GET", "/crm/v1/users/actions/count", 404, "INVALID_URL_PATTERN"),
        ("GET", "/", 404, "INVALID_URL_PATTERN"),
        ("POST", "/crm/v7/users/actions/count?type=AllUsers", 400, "INVALID_REQUEST_METHOD"),
    ],
)
async def test_an_invalid_call_is_refused(method: str, path: str, status: int, code: str) -> None:
    async with playing() as caller:
        token = await caller.token(0)
        reply = await caller.ask(method, f"{caller.sim.base_url}{path}", Authorization=f"Zoho-oauthtoken {token}")
        assert (reply.status, reply.json["code"], reply.json["status"]) == (status, code, "error")
        assert set(reply.json) == {"code", "details", "message", "status"}


@pytest.mark.parametrize("authorization", ["", "Bearer {token}", "{token}", "zoho-oauthtoken {token}"])
async def test_a_call_without_the_right_header_is_refused_and_recorded_as_a_breach(authorization: str) -> None:
    async with playing() as caller:
        given = authorization.format(token=await caller.token(0))
        reply = await caller.ask("GET", f"{caller.sim.base_url}/crm/v7/org", Authorization=given)
        assert (reply.status, reply.json["code"]) == (401, "AUTHENTICATION_FAILURE")
        assert len(caller.breaches) == 1


@pytest.mark.parametrize("token", ["1000.x.y", "1000." + "0" * 32 + "." + "0" * 32])
async def test_a_token_that_was_never_issued_is_invalid(token: str) -> None:
    async with playing() as caller:
        reply = await caller.call(0, token)
        assert (reply.status, reply.json["code"]) == (401, "INVALID_TOKEN")
