from __future__ import annotations

import pytest

from poller.simulator import control
from poller.simulator.replies import THROTTLED_TEXTS
from tests.simulator.caller import Caller, playing

TEN_MINUTES = 600


async def _errors(caller: Caller, index: int, **changed: str) -> tuple[int, str]:
    reply = await caller.token_reply(index, **changed)
    return reply.status, reply.json["error"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "1000.NOSUCHCLIENT"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": "0" * 42}, "invalid_client_secret"),
        ({"refresh_token": "1000.nothing.atall"}, "invalid_code"),
        ({"refresh_token": ""}, "invalid_code"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "1000.nothing.atall"}, "invalid_code"),
        ({"grant_type": "client_credentials", "scope": "ZohoCRM.users.READ"}, "missing_org_info"),
        ({"grant_type": "client_credentials", "soid": "ZohoCRM.1"}, "missing_org_info"),
        ({"grant_type": "client_credentials", "soid": "ZohoPeople.{zgid}"}, "missing_org_info"),
        ({"grant_type": "client_credentials", "soid": "ZohoCRM.{zgid}", "scope": "none"}, "invalid_scope"),
    ],
)
async def test_a_refused_token_request_has_status_200_and_an_error(changed: dict[str, str], error: str) -> None:
    async with playing() as caller:
        zgid = caller.sim.org(2).zgid
        asked = {name: value.replace("{zgid}", zgid) for name, value in changed.items()}
        assert await _errors(caller, 2, **asked) == (200, error)


async def test_the_refresh_token_of_another_client_is_refused() -> None:
    async with playing() as caller:
        assert await _errors(caller, 0, refresh_token=caller.sim.org(2).refresh_token) == (200, "invalid_code")


async def test_a_client_is_unknown_in_another_data_centre() -> None:
    async with playing() as caller:
        org = caller.sim.org(0)
        elsewhere = next(url for name, url in caller.sim.urls.items() if name != org.data_center)
        form = {
            "grant_type": "refresh_token",
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "refresh_token": org.refresh_token,
        }
        reply = await caller.ask("POST", f"{elsewhere}/oauth/v2/token", data=form)
        assert (reply.status, reply.json) == (200, {"error": "invalid_client"})


async def test_the_eleventh_token_in_ten_minutes_is_refused_and_further_requests_prolong_the_refusal() -> None:
    async with playing() as caller:
        for _ in range(10):
            await caller.token(0)
        for _ in range(3):
            reply = await caller.token_reply(0)
            assert reply.json["status"] == "failure"
            assert "access_token" not in reply.json
            caller.clock.at += TEN_MINUTES - 1
        caller.clock.at += 2
        assert await caller.token(0)
        assert any("tokens asked for in ten minutes" in breach for breach in caller.breaches)


async def test_the_throttled_reply_has_status_400_or_200_and_many_languages() -> None:
    async with playing(orgs=12) as caller:
        seen = set()
        for index in range(12):
            for _ in range(10):
                await caller.token(index)
            reply = await caller.token_reply(index)
            seen.add((reply.status, reply.json["error"]))
        assert {status for status, _ in seen} == {200, 400}
        assert {error for _, error in seen} == {error for error, _ in THROTTLED_TEXTS.values()}


async def test_throttling_one_org_does_not_throttle_others() -> None:
    async with playing() as caller:
        for _ in range(12):
            await caller.token_reply(0)
        assert await caller.token(2)


async def test_a_token_request_within_a_minute_of_being_throttled_is_recorded_as_a_breach() -> None:
    async with playing() as caller:
        for _ in range(11):
            await caller.token_reply(0)
            caller.clock.at += 59
        caller.clock.at -= 30
        await caller.token_reply(0)
        assert any("tokens asked for while throttled" in breach for breach in caller.breaches)


async def test_the_sixteenth_token_silently_ends_the_oldest() -> None:
    async with playing(token_seconds=100_000) as caller:
        tokens = []
        for _ in range(15):
            tokens.append(await caller.token(0))
            caller.clock.at += 61
        assert (await caller.call(0, tokens[0])).status == 200
        await caller.token(0)
        gone = await caller.call(0, tokens[0])
        assert (gone.status, gone.json["code"]) == (401, "INVALID_TOKEN")
        assert (await caller.call(0, tokens[1])).status == 200
        assert caller.breaches == []


async def test_an_access_token_is_invalid_after_its_lifetime() -> None:
    async with playing(token_seconds=60) as caller:
        reply = await caller.token_reply(0)
        assert reply.json["expires_in"] == 60
        caller.clock.at += 59
        assert (await caller.call(0, reply.json["access_token"])).status == 200
        caller.clock.at += 1
        assert (await caller.call(0, reply.json["access_token"])).json["code"] == "INVALID_TOKEN"


async def test_expired_tokens_are_removed_from_memory() -> None:
    async with playing(token_seconds=60) as caller:
        for _ in range(30):
            await caller.token(0)
            caller.clock.at += 61
        assert len(caller.sim.zoho.tokens) == 1


async def test_a_grant_code_is_exchanged_once_and_only_before_it_expires() -> None:
    async with playing(grant_share=1.0) as caller:
        org = caller.sim.org(0)
        asked = {"grant_type": "authorization_code", "refresh_token": ""}
        found = (await caller.token_reply(0, code=org.grant_code, **asked)).json
        assert found["refresh_token"] == org.refresh_token
        assert (await caller.call(0, found["access_token"])).status == 200
        assert await _errors(caller, 0, code=org.grant_code, **asked) == (200, "invalid_code")
        fresh = caller.sim.zoho.grant_code(0)
        caller.clock.at += TEN_MINUTES
        assert await _errors(caller, 0, code=fresh, **asked) == (200, "invalid_code")
        assert await _errors(caller, 2, code=caller.sim.org(2).grant_code, **asked) == (200, "invalid_code")


async def test_a_client_can_exchange_ten_grant_codes_in_ten_minutes() -> None:
    async with playing(orgs=12, orgs_per_client=12) as caller:
        asked = {"grant_type": "authorization_code", "refresh_token": ""}
        for index in range(10):
            assert (
                "refresh_token"
                in (await caller.token_reply(index, code=caller.sim.org(index).grant_code, **asked)).json
            )
        reply = await caller.token_reply(10, code=caller.sim.org(10).grant_code, **asked)
        assert (reply.status, reply.json["status"]) == (400, "failure")
        assert caller.breaches == ["client 0: more than 10 codes exchanged in ten minutes"]
        caller.clock.at += TEN_MINUTES - 1
        fresh = caller.sim.zoho.grant_code(11)
        caller.clock.at += 1
        assert "refresh_token" in (await caller.token_reply(11, code=fresh, **asked)).json


async def test_the_twenty_first_refresh_token_of_a_client_ends_the_oldest() -> None:
    async with playing(orgs=22, orgs_per_client=22, grant_code_seconds=100_000) as caller:
        asked = {"grant_type": "authorization_code", "refresh_token": ""}
        for index in (*range(20), 0):
            assert "refresh_token" in (await caller.token_reply(index, code=_fresh(caller, index), **asked)).json
            caller.clock.at += 61
        assert "access_token" in (await caller.token_reply(1)).json
        await caller.token_reply(20, code=_fresh(caller, 20), **asked)
        assert await _errors(caller, 1) == (200, "invalid_code")
        assert "access_token" in (await caller.token_reply(0)).json
        assert caller.breaches == []


def _fresh(caller: Caller, index: int) -> str:
    return caller.sim.zoho.grant_code(index)


@pytest.mark.parametrize("scope", ["ZohoCRM.Users.READ", "ZohoCRM.users.ALL", "ZohoCRM.users.READ,ZohoCRM.modules.ALL"])
async def test_client_credentials_give_a_token_with_the_requested_scopes(scope: str) -> None:
    async with playing() as caller:
        org = caller.sim.org(0)
        asked = {
            "grant_type": "client_credentials",
            "refresh_token": "",
            "soid": org.soid,
            "scope": scope,
        }
        found = (await caller.token_reply(0, **asked)).json
        assert "refresh_token" not in found
        assert (await caller.call(0, found["access_token"])).status == 200
        assert (await caller.call(0, found["access_token"], "org")).json["code"] == "OAUTH_SCOPE_MISMATCH"


async def test_withdrawn_consent_ends_tokens_and_refuses_new_ones_until_consent_is_restored() -> None:
    async with playing() as caller:
        token = await caller.token(0)
        control.revoke(caller.sim.zoho, 0)
        assert (await caller.call(0, token)).json["code"] == "INVALID_TOKEN"
        assert await _errors(caller, 0) == (200, "invalid_code")
        control.restore(caller.sim.zoho, 0)
        assert await caller.token(0)


async def test_a_rotated_refresh_token_replaces_the_old_one() -> None:
    async with playing() as caller:
        old = caller.sim.org(0).refresh_token
        new = control.rotate(caller.sim.zoho, 0)
        assert caller.sim.org(0).refresh_token == new != old
        assert await _errors(caller, 0, refresh_token=old) == (200, "invalid_code")
        assert "access_token" in (await caller.token_reply(0, refresh_token=new)).json


async def test_credentials_in_a_query_string_are_recorded_as_a_breach() -> None:
    async with playing() as caller:
        org = caller.sim.org(0)
        query = f"grant_type=refresh_token&client_secret={org.client_secret}"
        await caller.ask("POST", f"{caller.sim.base_url}/oauth/v2/token?{query}")
        assert caller.breaches == ["a credential in a query string"]
        assert org.client_secret not in str(caller.sim.audit())
