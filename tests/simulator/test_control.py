from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.simulator.caller import NOON, playing


async def test_the_control_route_returns_the_true_counts_for_any_time_and_any_identifier_of_an_org() -> None:
    async with playing() as caller:
        org = caller.sim.org(4)
        moment = datetime(2026, 3, 3, 10, tzinfo=UTC)
        for name in ("4", org.zgid, org.name.replace(" ", "%20")):
            for at in ("2026-03-03T10:00:00Z", str(moment.timestamp()), "2026-03-03T10:00:00"):
                found = await caller.control("GET", f"truth?org={name}&at={at}")
                assert found == {
                    "org": org.name,
                    "at": moment.isoformat(),
                    "counts": caller.sim.expected_counts(4, moment),
                }
        assert (await caller.control("GET", "truth?org=4"))["counts"] == caller.sim.expected_counts(4)


async def test_the_control_route_returns_the_fleet_in_both_import_formats() -> None:
    async with playing() as caller:
        reply = await caller.ask("GET", f"{caller.sim.base_url}/__sim/fleet?format=csv")
        assert reply.body.decode() == "".join(caller.sim.import_lines("csv"))
        reply = await caller.ask("GET", f"{caller.sim.base_url}/__sim/fleet?first=2&count=3")
        assert [json.loads(line)["name"] for line in reply.body.splitlines()] == [
            caller.sim.org(index).name for index in (2, 3, 4)
        ]


async def test_faults_are_added_listed_with_their_number_of_uses_and_cleared() -> None:
    async with playing() as caller:
        token = await caller.token(0)
        await caller.control("POST", "faults", {"name": "html", "org": 0, "times": 1})
        await caller.control("POST", "faults", [{"name": "empty", "org": 2}])
        assert (await caller.call(0, token)).body.startswith(b"<!DOCTYPE")
        assert await caller.control("GET", "faults") == [
            {"name": "html", "org": 0, "times": 1, "given": 1},
            {"name": "empty", "org": 2, "given": 0},
        ]
        assert (await caller.control("GET", "audit"))["faults_given"] == {"html": 1}
        assert await caller.control("DELETE", "faults") == []
        assert (await caller.call(0, token)).status == 200


async def test_the_clock_can_be_advanced_over_the_control_route() -> None:
    async with playing() as caller:
        token = await caller.token(0)
        assert await caller.control("POST", "clock", {"advance": 3_600}) == {"now": NOON + 3_600}
        assert (await caller.call(0, token)).json["code"] == "INVALID_TOKEN"


async def test_actions_of_customers_can_be_triggered_over_the_control_route() -> None:
    async with playing(orgs=40) as caller:
        name = caller.sim.org(0).name
        token = await caller.token(0)
        left = (await caller.control("POST", "spend", {"org": 0, "credits": 10}))["result"]
        assert left == caller.sim.zoho.credit_limit(caller.sim.zoho.org_state(0)) - 10
        await caller.control("POST", "end_tokens", {"org": 0})
        assert (await caller.call(0, token)).status == 401
        await caller.control("POST", "narrow", {"org": name, "scopes": "ZohoCRM.org.READ"})
        assert (await caller.token_reply(0)).json["scope"] == "ZohoCRM.org.READ"
        await caller.control("POST", "deny_api", {"org": 0})
        assert (await caller.call(0, await caller.token(0), "org")).status == 403
        await caller.control("POST", "revoke", {"org": 0})
        assert (await caller.token_reply(0)).json == {"error": "invalid_code"}
        await caller.control("POST", "restore", {"org": 0})
        rotated = (await caller.control("POST", "rotate", {"org": 0}))["result"]
        assert rotated == caller.sim.org(0).refresh_token
        code = (await caller.control("POST", "grant_code", {"org": 0}))["result"]
        asked = {"grant_type": "authorization_code", "refresh_token": "", "code": code}
        assert (await caller.token_reply(0, **asked)).json["refresh_token"] == rotated


async def test_the_audit_counts_the_requests_of_each_org_and_can_be_cleared() -> None:
    async with playing() as caller:
        token = await caller.token(3)
        for _ in range(4):
            await caller.call(3, token)
        found = await caller.control("GET", "audit")
        assert found["requests"] == {"token": 1, "count": 4}
        (org,) = found["orgs"]
        assert (org["index"], org["requests"], org["most_requests_in_a_minute"], org["token_issues"]) == (3, 4, 4, 1)
        assert token not in json.dumps(found)
        await caller.control("DELETE", "audit")
        found = await caller.control("GET", "audit")
        assert (found["requests"], found["orgs"][0]["requests"]) == ({}, 0)


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "reason"),
    [
        ("GET", "nothing", None, 404, "POST /__sim/faults"),
        ("GET", "truth?org=99", None, 400, "there is no org"),
        ("GET", "truth?org=1&at=yesterday", None, 400, "yesterday"),
        ("GET", "truth?org=1&at=1e300", None, 400, "OverflowError"),
        ("POST", "revoke", {}, 400, "org"),
        ("POST", "revoke", {"org": 1.5}, 400, "float"),
        ("POST", "faults", [{"name": "nonsense"}], 400, "there is no fault"),
        ("POST", "faults", [[]], 400, "not an object"),
        ("POST", "spend", {"org": 1, "credits": "many"}, 400, "many"),
    ],
)
async def test_an_invalid_control_request_is_refused_with_the_reason(
    method: str, path: str, given: object, status: int, reason: str
) -> None:
    async with playing() as caller:
        reply = await caller.ask(method, f"{caller.sim.base_url}/__sim/{path}", json=given)
        assert reply.status == status
        assert reason in reply.json["error"]
