from __future__ import annotations

import asyncio
import re
import ssl
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import trustme

from poller.simulator import Simulator, SimulatorOptions
from tests.simulator.caller import NOON, playing


async def test_all_ten_counts_of_a_reply_are_the_true_ones() -> None:
    async with playing() as caller:
        for index in range(caller.sim.options.orgs):
            token = await caller.token(index)
            assert await caller.counts(index, token) == caller.sim.expected_counts(
                index, datetime.fromtimestamp(NOON, UTC)
            )
        assert caller.breaches == []


async def test_counts_change_with_the_clock_and_faster_with_a_higher_speed() -> None:
    async with playing(orgs=3, speed=1_000.0) as caller:
        slow = Simulator(SimulatorOptions(orgs=3, seed=7, now=caller.clock))
        before = caller.sim.expected_counts(2)
        assert before == slow.expected_counts(2)
        caller.clock.at += 86_400
        assert caller.sim.expected_counts(2) == slow.expected_counts(
            2, datetime.fromtimestamp(NOON, UTC) + timedelta(days=1_000)
        )
        assert caller.sim.expected_counts(2) != before


@pytest.mark.parametrize("version", ["v2", "v3", "v4", "v5", "v6", "v7", "v8"])
async def test_every_api_version_is_served(version: str) -> None:
    async with playing() as caller:
        token = await caller.token(0)
        for path in ("users/actions/count?type=ActiveUsers", "users/actions/count", "org"):
            reply = await caller.ask(
                "GET", f"{caller.sim.base_url}/crm/{version}/{path}", Authorization=f"Zoho-oauthtoken {token}"
            )
            assert reply.status == 200


async def test_a_token_reply_has_the_fields_of_zohos() -> None:
    async with playing() as caller:
        reply = await caller.token_reply(0)
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
        found = reply.json
        assert re.fullmatch(r"1000\.[0-9a-f]{32}\.[0-9a-f]{32}", found.pop("access_token"))
        assert found == {
            "scope": "ZohoCRM.users.READ ZohoCRM.org.READ ZohoCRM.features.READ",
            "api_domain": caller.sim.base_url,
            "token_type": "Bearer",
            "expires_in": 3_600,
        }


async def test_org_and_licence_replies_have_the_fields_of_zohos() -> None:
    async with playing(orgs=40) as caller:
        paid = next(org for org in caller.sim.fleet() if org.edition != "free")
        token = await caller.token(paid.index)
        (org,) = (await caller.call(paid.index, token, "org")).json["org"]
        assert org["company_name"] == paid.name
        assert org["zgid"] == paid.zgid
        assert org["time_zone"] == paid.time_zone
        assert org["license_details"]["paid_type"] == paid.edition
        assert org["license_details"]["users_license_purchased"] == paid.licences
        details = (await caller.call(paid.index, token, "__features/user_licenses")).json["__features"][0]["details"]
        assert details["limits"]["total"] == paid.licences
        assert details["used_count"]["total"] == caller.sim.expected_count(paid.index, "ActiveUsers")
        assert details["available_count"]["total"] == paid.licences - details["used_count"]["total"]


async def test_an_org_of_the_free_edition_has_no_licence_reply() -> None:
    async with playing(orgs=40) as caller:
        free = next(org for org in caller.sim.fleet() if org.edition == "free")
        reply = await caller.call(free.index, await caller.token(free.index), "__features/user_licenses")
        assert (reply.status, reply.body) == (204, b"")


async def test_a_reply_has_the_expiry_of_its_token_in_the_time_zone_of_the_org() -> None:
    async with playing() as caller:
        reply = await caller.call(0, await caller.token(0))
        ends = datetime.fromisoformat(reply.headers["X-ACCESSTOKEN-RESET"])
        assert ends.timestamp() == NOON + 3_600
        assert "X-API-CREDITS-REMAINING" not in reply.headers


async def test_each_data_centre_has_its_own_server() -> None:
    async with playing(data_centers=("a", "b", "c")) as caller:
        setting = caller.sim.data_centers_setting()
        assert list(setting) == ["a", "b", "c"]
        assert len({entry["accounts_server"] for entry in setting.values()}) == 3
        for index in range(6):
            url = caller.sim.urls[caller.sim.org(index).data_center]
            assert (await caller.token_reply(index)).json["api_domain"] == url


async def test_latency_follows_its_median() -> None:
    async with playing(latency_median_seconds=0.02, latency_p99_seconds=0.04) as caller:
        token = await caller.token(0)
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            await caller.call(0, token)
        # At least what the median says; how much more is the machine's affair.
        assert asyncio.get_running_loop().time() - began > 0.05


async def test_the_simulator_can_use_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with playing(tls=server) as caller, aiohttp.ClientSession() as session:
        url = f"{caller.sim.base_url}/crm/v7/org"
        assert url.startswith("https://127.0.0.1:")
        assert caller.sim.data_centers_setting()["sim-us"]["accounts_server"] == caller.sim.base_url
        async with session.get(url, ssl=client) as reply:
            assert reply.status == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url)


async def test_a_restarted_simulator_has_the_same_fleet_and_no_access_tokens() -> None:
    async with playing() as caller:
        fleet = [org.row() for org in caller.sim.fleet()]
        token = await caller.token(0)
    async with playing() as caller:
        assert [org.row() for org in caller.sim.fleet()] == fleet
        assert (await caller.call(0, token)).json["code"] == "INVALID_TOKEN"
        assert (await caller.token_reply(0)).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"orgs": 0},
        {"data_centers": ()},
        {"latency_median_seconds": -1.0},
        {"latency_median_seconds": 0.2, "latency_p99_seconds": 0.1},
    ],
)
def test_invalid_simulator_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"needs at least|latency"):
        SimulatorOptions(**wrong)  # type: ignore[arg-type]
