from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from poller.simulator import Fault, load_faults, parse_faults
from poller.simulator.fault_table import FAULTS
from poller.simulator.replies import THROTTLED_TEXTS
from tests.simulator.caller import NOON, Caller, playing

if TYPE_CHECKING:
    from pathlib import Path

COUNTS: dict[str, Any] = {
    "count_negative": -1,
    "count_fraction": 1.5,
    "count_whole_fraction": 11.0,
    "count_true": True,
    "count_null": None,
    "count_empty_string": "",
    "count_padded_string": " 11 ",
    "count_too_big": 2**31,
    "count_list": [11],
    "count_zero": 0,
}
BODIES = {
    "count_absent": b"{}",
    "empty": b"",
    "truncated": b'{"count":1',
    "list": b'[{"count":11}]',
}
CODES = {
    "error_with_200": (200, "INTERNAL_ERROR"),
    "integer_429": (429, 429),
    "invalid_token": (401, "INVALID_TOKEN"),
    "invalid_oauthtoken": (401, "INVALID_OAUTHTOKEN"),
    "authentication_failure": (401, "AUTHENTICATION_FAILURE"),
    "oauth_scope_mismatch": (401, "OAUTH_SCOPE_MISMATCH"),
    "no_permission": (403, "NO_PERMISSION"),
    "no_permission_400": (400, "NO_PERMISSION"),
    "feature_not_enabled": (400, "FEATURE_NOT_ENABLED"),
    "api_not_supported": (400, "API_NOT_SUPPORTED"),
    "authorization_failed": (403, "AUTHORIZATION_FAILED"),
    "invalid_request_method": (400, "INVALID_REQUEST_METHOD"),
    "invalid_data": (400, "INVALID_DATA"),
    "bad_request": (400, "BAD_REQUEST"),
    "invalid_url_pattern": (404, "INVALID_URL_PATTERN"),
    "too_many_requests": (429, "TOO_MANY_REQUESTS"),
    "internal_error": (500, "INTERNAL_ERROR"),
    "internal_server_error": (500, "INTERNAL_SERVER_ERROR"),
}
PAGES = {"html": 200, "html_429": 429, "html_500": 500, "bad_gateway": 502}
NO_JSON = {"not_utf8", "deep"}
ODD_BUT_RIGHT = {"count_string", "wrong_content_type", "no_content_type"}
REDIRECTS = {"redirect": 302, "redirect_307": 307}
NEVER_ENDING = {"drip", "hang"}
RESETS = {"reset", "reset_in_body"}
OTHERS = {"no_content", "unavailable", "huge"}


async def _faulty_call(caller: Caller, **fault: Any) -> Any:
    token = await caller.token(0)
    caller.sim.add_faults(Fault(**fault))
    return await caller.call(0, token)


def test_every_fault_of_the_table_is_tested_here() -> None:
    tried = {*COUNTS, *BODIES, *CODES, *PAGES, *NO_JSON, *ODD_BUT_RIGHT, *REDIRECTS, *NEVER_ENDING, *RESETS, *OTHERS}
    assert {name for name in FAULTS if not name.startswith("token_")} == tried


@pytest.mark.parametrize("name", COUNTS)
async def test_a_fault_can_replace_the_count(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        assert reply.status == 200
        found = reply.json["count"]
        assert (type(found), found) == (type(COUNTS[name]), COUNTS[name])


@pytest.mark.parametrize("name", BODIES)
async def test_a_fault_can_replace_the_body(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        assert (reply.status, reply.body) == (200, BODIES[name])


@pytest.mark.parametrize("name", CODES)
async def test_a_fault_can_return_every_error_of_zoho(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        assert (reply.status, reply.json["code"]) == CODES[name]


@pytest.mark.parametrize("name", PAGES)
async def test_a_fault_can_return_an_html_page(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        assert reply.status == PAGES[name]
        assert reply.headers["Content-Type"].startswith("text/html")
        assert reply.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("name", sorted(NO_JSON))
async def test_a_fault_can_return_a_body_that_is_not_json(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        with pytest.raises(orjson.JSONDecodeError):
            reply.json  # noqa: B018 - the reading is the point


async def test_a_fault_can_return_the_right_count_in_an_unusual_reply() -> None:
    async with playing() as caller:
        truth = caller.sim.expected_count(0, "AllUsers")
        assert (await _faulty_call(caller, name="count_string")).json == {"count": str(truth)}
        caller.sim.clear_faults()
        plain = await _faulty_call(caller, name="wrong_content_type")
        assert (plain.headers["Content-Type"], plain.json) == ("text/plain", {"count": truth})
        caller.sim.clear_faults()
        none = await _faulty_call(caller, name="no_content_type")
        assert "Content-Type" not in none.headers
        assert none.json == {"count": truth}


async def test_a_fault_can_return_an_empty_or_a_huge_body() -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name="no_content")
        assert (reply.status, reply.body) == (204, b"")
        caller.sim.clear_faults()
        reply = await _faulty_call(caller, name="unavailable")
        assert (reply.status, reply.body) == (503, b"")
        caller.sim.clear_faults()
        reply = await _faulty_call(caller, name="huge")
        assert len(reply.body) > 2 * 64 * 1_024
        assert reply.json["count"] == 11


@pytest.mark.parametrize("name", REDIRECTS)
async def test_a_fault_can_redirect_to_a_foreign_server_and_following_it_is_recorded_as_a_breach(name: str) -> None:
    async with playing() as caller:
        reply = await _faulty_call(caller, name=name)
        assert reply.status == REDIRECTS[name]
        assert reply.headers["Location"].startswith(caller.sim.foreign_url)
        assert caller.breaches == []
        await caller.ask("GET", reply.headers["Location"])
        assert caller.breaches == ["a redirect to a foreign server was followed"]
        await caller.ask("GET", reply.headers["Location"], Authorization="Zoho-oauthtoken x")
        assert caller.breaches[1:] == ["a credential was sent to a foreign server"]


@pytest.mark.parametrize("name", sorted(RESETS))
async def test_a_fault_can_reset_the_connection(name: str) -> None:
    async with playing() as caller:
        with pytest.raises(aiohttp.ClientError):
            await _faulty_call(caller, name=name)
        caller.sim.clear_faults()
        assert (await caller.call(0, await caller.token(0))).status == 200


@pytest.mark.parametrize("name", sorted(NEVER_ENDING))
async def test_a_fault_can_send_a_reply_that_never_ends_and_leaves_no_task_behind(name: str) -> None:
    async with playing() as caller:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await _faulty_call(caller, name=name)
        state = caller.sim.zoho.org_state(0)
        async with asyncio.timeout(60):
            while state.in_flight:  # noqa: ASYNC110 - the simulator has no event for it
                await asyncio.sleep(0)


async def test_a_fault_can_add_a_retry_after_header() -> None:
    async with playing() as caller:
        assert (await _faulty_call(caller, name="integer_429", retry_after=7)).headers["Retry-After"] == "7"
        caller.sim.clear_faults()
        caller.clock.at += 7
        reply = await _faulty_call(caller, name="too_many_requests", retry_after=90, retry_after_date=True)
        assert parsedate_to_datetime(reply.headers["Retry-After"]).timestamp() == NOON + 97
        assert caller.breaches == []
        caller.clock.at += 60
        await caller.call(0, await caller.token(0))
        assert len(caller.breaches) == 1


# the token endpoint --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("language", THROTTLED_TEXTS)
async def test_a_fault_can_throttle_the_token_endpoint_in_any_language(language: str, status: int) -> None:
    async with playing(faults=(Fault(name=f"token_throttled_{status}_{language}", times=1),)) as caller:
        reply = await caller.token_reply(0)
        assert reply.status == status
        error, description = THROTTLED_TEXTS[language]
        assert reply.json == {"error": error, "error_description": description, "status": "failure"}
        await caller.token(0)
        assert caller.breaches == []  # it may have been on its way
        caller.clock.at += 59
        await caller.token(0)
        (breach,) = caller.breaches
        assert "while throttled" in breach


@pytest.mark.parametrize("error", ["invalid_client", "invalid_client_secret", "invalid_code", "missing_org_info"])
async def test_a_fault_can_make_the_token_endpoint_refuse_permanently(error: str) -> None:
    async with playing(faults=(Fault(name=f"token_{error}"),)) as caller:
        reply = await caller.token_reply(0)
        assert (reply.status, reply.json) == (200, {"error": error})


async def test_a_fault_can_remove_fields_from_the_token_reply() -> None:
    async with playing() as caller:
        whole = set((await caller.token_reply(0)).json)
        for name in ("expires_in", "access_token", "api_domain"):
            caller.sim.add_faults(Fault(name=f"token_no_{name}", times=1))
            assert set((await caller.token_reply(0)).json) == whole - {name}
        caller.sim.add_faults(Fault(name="token_string_expires_in", times=1))
        assert (await caller.token_reply(0)).json["expires_in"] == "3600"


async def test_a_fault_can_put_a_foreign_server_into_the_token_reply() -> None:
    async with playing(faults=(Fault(name="token_forged_api_domain"),)) as caller:
        found = (await caller.token_reply(0)).json
        assert found["api_domain"] == caller.sim.foreign_url
        led_astray = f"{found['api_domain']}/crm/v7/org"
        await caller.ask("GET", led_astray, Authorization=f"Zoho-oauthtoken {found['access_token']}")
        assert caller.breaches == ["a credential was sent to a foreign server"]


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("token_html", 200, b"<!DOCTYPE"),
        ("token_empty", 200, b""),
        ("token_list", 200, b"[]"),
        ("token_500", 500, b"<"),
    ],
)
async def test_a_fault_can_replace_the_token_reply(name: str, status: int, body: bytes) -> None:
    async with playing(faults=(Fault(name=name),)) as caller:
        reply = await caller.token_reply(0)
        assert reply.status == status
        assert reply.body.startswith(body)


async def test_a_fault_can_make_the_token_endpoint_redirect_reset_or_never_end() -> None:
    async with playing(faults=(Fault(name="token_redirect", times=1),)) as caller:
        reply = await caller.token_reply(0)
        assert (reply.status, reply.headers["Location"]) == (307, f"{caller.sim.foreign_url}/oauth/v2/token")
        await caller.ask("POST", reply.headers["Location"], data={"refresh_token": "x"})
        assert caller.breaches == ["a credential was sent to a foreign server"]
        caller.sim.add_faults(Fault(name="token_reset", times=1))
        with pytest.raises(aiohttp.ClientError):
            await caller.token_reply(0)
        for name in ("token_drip", "token_hang"):
            caller.sim.add_faults(Fault(name=name, times=1))
            with pytest.raises(TimeoutError):
                # Enough for the request to arrive: a fault applies once.
                async with asyncio.timeout(2):
                    await caller.token_reply(0)
        assert await caller.token(0)


# scripts -------------------------------------------------------------------------------------------------------------


async def test_a_fault_applies_only_to_the_calls_that_its_fields_select() -> None:
    script = (
        Fault(name="html", org=0, user_type="AdminUsers"),
        Fault(name="empty", data_center="sim-eu"),
        Fault(name="internal_error", endpoint="org", org=2),
    )
    async with playing(faults=script) as caller:
        here, there, third = await caller.token(0), await caller.token(1), await caller.token(2)
        assert (await caller.call(0, here)).body.startswith(b'{"count"')
        assert (await caller.call(0, here, "users/actions/count?type=AdminUsers")).body.startswith(b"<")
        assert (await caller.call(1, there)).body == b""
        assert (await caller.call(0, here, "org")).status == 200
        assert (await caller.call(2, third, "org")).status == 500
        assert (await caller.call(2, third)).status == 200


async def test_a_fault_names_its_org_by_number_zoho_id_or_name() -> None:
    async with playing() as caller:
        org = caller.sim.org(3)
        for name in (3, org.zgid, org.name):
            caller.sim.add_faults(Fault(name="html_500", org=name, times=1))
        token = await caller.token(3)
        assert (await caller.call(0, await caller.token(0))).status == 200
        assert [(await caller.call(3, token)).status for _ in range(4)] == [500, 500, 500, 200]
        for nobody in (Fault(name="html", org="Nobody Ltd"), Fault(name="html", data_center="us")):
            with pytest.raises(ValueError, match="there is no"):
                caller.sim.add_faults(nobody)


async def test_a_fault_applies_a_given_number_of_times_and_within_a_given_period() -> None:
    script = (
        Fault(name="html_500", times=2, until=NOON + 60),
        Fault(name="bad_gateway", since=NOON + 60, until=NOON + 120),
    )
    async with playing(faults=script) as caller:
        token = await caller.token(0)
        assert [(await caller.call(0, token)).status for _ in range(3)] == [500, 500, 200]
        caller.clock.at += 60
        assert (await caller.call(0, token)).status == 502
        caller.clock.at += 60
        assert (await caller.call(0, token)).status == 200


async def test_a_fault_with_a_probability_applies_to_the_same_calls_for_the_same_seed() -> None:
    seen = []
    for _ in range(2):
        async with playing(faults=(Fault(name="html_500", probability=0.3),)) as caller:
            token = await caller.token(0)
            seen.append([(await caller.call(0, token)).status for _ in range(60)])
    assert seen[0] == seen[1]
    assert 5 < seen[0].count(500) < 35


async def test_a_fault_for_a_share_of_the_fleet_always_applies_to_the_same_orgs() -> None:
    async with playing(orgs=60, faults=(Fault(name="html_500", share=0.33),)) as caller:
        tokens = [await caller.token(index) for index in range(60)]
        first = [(await caller.call(index, token)).status for index, token in enumerate(tokens)]
        assert first == [(await caller.call(index, token)).status for index, token in enumerate(tokens)]
        assert 10 < first.count(500) < 30


def test_a_script_of_faults_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"name": "html", "org": 3, "until": "2026-06-01T12:00:00Z"}, {"name": "token_html"}]))
    assert load_faults(path) == (Fault(name="html", org=3, until=NOON), Fault(name="token_html"))
    assert load_faults(path)[1].matched_endpoint == "token"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({}, "is a list"),
        ([1], "fault 1 is not an object"),
        ([{"org": 1}], "fault 1 is not an object with a name"),
        ([{"name": "html"}, {"name": "nonsense"}], "fault 2: there is no fault 'nonsense'"),
        ([{"name": "html", "colour": "red"}], r"fault 1 \(html\): unknown colour"),
        ([{"name": "html", "endpoint": "users"}], "no endpoint 'users'"),
        ([{"name": "html", "user_type": "Users"}], "no user type 'Users'"),
        ([{"name": "html", "share": 2}], "between 0 and 1"),
        ([{"name": "html", "until": "soon"}], "fault 1"),
        ([{"name": "html", "times": "3"}], "fault 1: .*'3' is not a number"),
        ([{"name": "html", "share": None}], "fault 1: share None is not a number"),
        ([{"name": "token_no_expires_in", "endpoint": "count"}], "belongs to the token endpoint"),
    ],
)
def test_an_invalid_script_of_faults_is_refused_with_the_position_of_the_error(script: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_faults(script)
