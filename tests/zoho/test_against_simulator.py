"""Tokens, limiter and onboarding with the real client, against a simulator that checks the rules."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.checks import CheckStatus
from poller.core.datacenters import with_operators
from poller.core.editions import limits_of
from poller.core.model import USER_TYPES, Org, Outcome
from poller.core.reply import Reply
from poller.core.secret import Secret
from poller.core.token import AccessToken, Credentials
from poller.onboarding.grant_exchange import WaitingCode, exchange_codes
from poller.simulator import Fault, Simulator, SimulatorOptions, control
from poller.zoho.limiter import Limiter
from poller.zoho.org_check import Check, check_org
from poller.zoho.org_requests import CheckPorts
from tests.worker.waiting import PATIENCE_SECONDS
from tests.zoho.modes import open_client
from tests.zoho.token_shelf import Shelf, refusal_of, token_of, tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.datacenters import DataCenter
    from poller.simulator import SimulatedOrg
    from poller.zoho.client import ZohoClient
    from poller.zoho.tokens import Tokens


pytestmark = pytest.mark.usefixtures("every_mode")


@dataclass
class Clock:
    """One manual clock for Zoho and the poller; a sleep advances the clock."""

    seconds: float = 1_764_000_000.0

    def now(self) -> float:
        return self.seconds

    def utc_now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass
class Lab:
    """A simulated Zoho, a client for it, and a shelf for each org."""

    sim: Simulator
    client: ZohoClient
    clock: Clock
    data_centers: dict[str, DataCenter]
    shelves: dict[int, Shelf] = field(default_factory=dict)

    def org(self, index: int = 0, *, data_center: str | None = None) -> Org:
        known = self.sim.org(index)
        return Org(index, known.name, data_center or known.data_center, "v8", 900, known.edition, known.licences)

    def shelf(self, index: int = 0) -> Shelf:
        return self.shelves.setdefault(index, Shelf(credentials_of(self.sim.org(index))))

    def tokens(self, index: int = 0) -> Tokens:
        """The tokens of another worker for this org; workers share only the shelf."""
        return tokens(
            self.shelf(index),
            self.client.post_token,
            data_centers=self.data_centers,
            now=self.clock.utc_now,
            sleep=self.clock.sleep,
        )

    def check_ports(self, index: int = 0) -> CheckPorts:
        return CheckPorts(self.tokens(index), self.client.count, self.client.get, self.clock.utc_now)

    def limiter(self) -> Limiter:
        return Limiter(64, now=self.clock.now, sleep=self.clock.sleep)

    @property
    def breaches(self) -> list[str]:
        found: list[str] = self.sim.audit()["breaches"]
        return found


def credentials_of(org: SimulatedOrg, kind: str = "refresh_token") -> Credentials:
    return Credentials(
        org.client_id,
        Secret(org.client_secret),
        refresh_token=Secret(org.refresh_token) if kind == "refresh_token" else None,
        grant_code=Secret(org.grant_code) if kind == "grant_code" else None,
        soid=org.soid if kind == "soid" else None,
    )


@asynccontextmanager
async def lab(**options: Any) -> AsyncIterator[Lab]:
    clock = Clock()
    async with (
        Simulator(SimulatorOptions(now=clock.now, **({"orgs": 4} | options))) as sim,
        open_client(connections=64, request_timeout_seconds=PATIENCE_SECONDS) as client,
    ):
        yield Lab(sim, client, clock, with_operators(sim.data_centers_setting()))


async def test_twenty_workers_request_one_valid_token_in_total() -> None:
    async with lab() as zoho:
        async with asyncio.TaskGroup() as workers:
            found = [workers.create_task(zoho.tokens().get(zoho.org())) for _ in range(20)]
        token = token_of(found[0].result())
        assert {token_of(task.result()).generation for task in found} == {1}
        reply = await zoho.client.count(token.api_domain, "v8", USER_TYPES[0], token.secret)
        assert isinstance(reply, Reply)
        assert reply.status == 200
        assert zoho.sim.audit()["token_asks"] == 1
        assert zoho.breaches == []


async def test_a_day_of_polls_uses_one_token_an_hour() -> None:
    async with lab() as zoho:
        for _ in range(96):
            token_of(await zoho.tokens().get(zoho.org()))
            await zoho.clock.sleep(900)
        assert 24 <= zoho.sim.audit()["token_issues"] <= 32
        assert zoho.breaches == []


async def test_workers_in_a_crash_loop_do_not_use_up_the_ten_tokens_in_ten_minutes() -> None:
    async with lab() as zoho:
        stale = token_of(await zoho.tokens().get(zoho.org()))
        for _ in range(200):
            found = await zoho.tokens().renew(zoho.org(), stale)
            if isinstance(found, AccessToken):
                stale = found
            else:
                assert (found.outcome, found.code) == (Outcome.THROTTLED, "token_budget")
            await zoho.clock.sleep(5)
        assert zoho.sim.audit()["token_issues"] > 10
        assert zoho.breaches == []


@pytest.mark.parametrize("index", [0, 1])
async def test_a_throttled_token_endpoint_gets_no_request_within_the_cool_down(index: int) -> None:
    """Org 0 is throttled with 400 in one language, org 1 with 200 in another."""
    async with lab() as zoho:
        for _ in range(10):  # another program uses up the same grant
            await zoho.client.post_token(
                zoho.data_centers[zoho.org(index).data_center].accounts_server,
                {
                    "grant_type": "refresh_token",
                    "client_id": zoho.sim.org(index).client_id,
                    "client_secret": zoho.sim.org(index).client_secret,
                    "refresh_token": zoho.sim.org(index).refresh_token,
                },
            )
        control.clear_audit(zoho.sim.zoho)
        for _ in range(10):
            found = refusal_of(await zoho.tokens(index).get(zoho.org(index)))
            assert (found.outcome, found.code) == (Outcome.THROTTLED, "throttled")
            await zoho.clock.sleep(30)
        assert zoho.sim.audit()["token_asks"] == 1
        assert zoho.breaches == []
        await zoho.clock.sleep(600)
        token_of(await zoho.tokens(index).get(zoho.org(index)))


async def test_withdrawn_consent_parks_the_org_until_a_new_one_is_imported() -> None:
    async with lab() as zoho:
        stale = token_of(await zoho.tokens().get(zoho.org()))
        control.revoke(zoho.sim.zoho, 0)
        assert refusal_of(await zoho.tokens().renew(zoho.org(), stale)).code == "invalid_code"
        assert zoho.shelf().parked is not None
        control.rotate(zoho.sim.zoho, 0)
        zoho.shelf().credentials = credentials_of(zoho.sim.org(0))
        token_of(await zoho.tokens().renew(zoho.org(), stale))
        assert zoho.breaches == []


async def test_a_token_evicted_by_the_sixteenth_is_replaced_by_a_refresh() -> None:
    async with lab() as zoho:
        stale = token_of(await zoho.tokens().get(zoho.org()))
        control.end_tokens(zoho.sim.zoho, 0)
        with zoho.limiter().org(0, limits_of("free")) as limiter:
            assert (await check_org(zoho.org(), limiter, zoho.check_ports())).ok
        assert token_of(await zoho.tokens().get(zoho.org())).generation == stale.generation + 1
        assert zoho.breaches == []


async def test_the_wrong_data_center_is_refused_before_any_token_is_sent_anywhere() -> None:
    async with lab() as zoho:
        elsewhere = zoho.org(data_center=next(name for name in zoho.sim.urls if name != zoho.org().data_center))
        assert refusal_of(await zoho.tokens().get(elsewhere)).code == "invalid_client"
        assert zoho.breaches == []


async def test_a_token_from_a_forged_reply_is_never_sent() -> None:
    async with lab() as zoho:
        zoho.sim.add_faults(Fault(name="token_forged_api_domain"))
        assert refusal_of(await zoho.tokens().get(zoho.org())).code == "forged_api_domain"
        zoho.sim.clear_faults()
        zoho.sim.add_faults(Fault(name="token_redirect"))
        assert refusal_of(await zoho.tokens(1).get(zoho.org(1))).outcome is not Outcome.OK
        assert zoho.sim.audit()["requests"].get("stranger", 0) == 0
        assert zoho.breaches == []


@pytest.mark.parametrize("name", ["token_html", "token_empty", "token_list", "token_500", "token_reset"])
async def test_a_failing_token_endpoint_parks_no_org_and_has_no_effect_after_it_recovers(name: str) -> None:
    async with lab() as zoho:
        zoho.sim.add_faults(Fault(name=name))
        found = refusal_of(await zoho.tokens().get(zoho.org()))
        assert found.outcome in {Outcome.UNAVAILABLE, Outcome.THROTTLED}
        assert zoho.shelf().parked is None
        zoho.sim.clear_faults()
        await zoho.clock.sleep(601)
        token_of(await zoho.tokens().get(zoho.org()))
        assert zoho.breaches == []


async def test_a_soid_gives_a_token_for_every_requested_scope() -> None:
    async with lab() as zoho:
        zoho.shelf().credentials = credentials_of(zoho.sim.org(0), "soid")
        with zoho.limiter().org(0, limits_of("free")) as limiter:
            found = await check_org(zoho.org(), limiter, zoho.check_ports())
        assert found.ok
        assert found.info is not None
        assert found.info.zgid == zoho.sim.org(0).zgid
        assert zoho.breaches == []


async def test_twenty_five_grant_codes_of_one_client_are_paced_and_expired_ones_reported() -> None:
    async with lab(orgs=25, orgs_per_client=25, data_centers=("sim-us",), grant_code_seconds=900) as zoho:
        for index in range(25):
            zoho.shelf(index).credentials = credentials_of(zoho.sim.org(index), "grant_code")
        done = await exchange_codes(
            [WaitingCode(zoho.org(index), zoho.sim.org(index).client_id) for index in range(25)],
            lambda org: zoho.tokens(org.id).exchange(org),
            now=zoho.clock.utc_now,
            sleep=zoho.clock.sleep,
        )
        refusals = [one.refusal.code for one in done if one.refusal is not None]
        assert refusals == ["grant_code_expired"] * 5
        for one in done[:20]:
            kept = zoho.shelf(one.org.id).credentials
            assert kept is not None
            assert kept.refresh_token == Secret(zoho.sim.org(one.org.id).refresh_token)
        assert zoho.breaches == []


async def test_the_check_of_a_working_org_is_ok_and_returns_its_edition_and_licences() -> None:
    async with lab(orgs=12) as zoho:
        for index in range(12):
            with zoho.limiter().org(index, limits_of(None)) as limiter:
                found = await check_org(zoho.org(index), limiter, zoho.check_ports(index))
            known = zoho.sim.org(index)
            assert found.ok, found.results
            assert found.info is not None
            assert (found.info.zgid, found.info.edition) == (known.zgid, known.edition)
            assert found.info.licences == zoho.sim.zoho.licences(index, zoho.clock.now())
        assert zoho.breaches == []


@pytest.mark.parametrize(
    ("scopes", "subject"),
    [
        ("ZohoCRM.org.READ ZohoCRM.features.READ", Check.USERS),
        ("ZohoCRM.users.READ ZohoCRM.features.READ", Check.ORG),
        ("ZohoCRM.users.ALL ZohoCRM.org.ALL", Check.FEATURES),
    ],
)
async def test_the_check_names_a_scope_missing_from_the_consent(scopes: str, subject: Check) -> None:
    async with lab() as zoho:
        control.narrow(zoho.sim.zoho, 0, scopes)
        with zoho.limiter().org(0, limits_of("free")) as limiter:
            found = await check_org(zoho.org(), limiter, zoho.check_ports())
        assert [finding.check for finding in found.results if finding.status is CheckStatus.WRONG] == [subject]
        assert zoho.breaches == []


async def test_the_check_detects_a_profile_without_api_access() -> None:
    async with lab() as zoho:
        control.deny_api(zoho.sim.zoho, 0)
        with zoho.limiter().org(0, limits_of("free")) as limiter:
            found = await check_org(zoho.org(), limiter, zoho.check_ports())
        faults = [finding for finding in found.results if finding.status is CheckStatus.WRONG]
        assert [(fault.check, fault.what) for fault in faults] == [(Check.API_ACCESS, "NO_PERMISSION")]
        assert "Profiles" in (faults[0].remedy or "")


async def test_at_most_half_of_the_calls_an_edition_allows_are_in_flight() -> None:
    async with lab(orgs=8, latency_median_seconds=0.005) as zoho:
        limiter = zoho.limiter()

        async def poll(index: int) -> None:
            token = token_of(await zoho.tokens(index).get(zoho.org(index)))
            with limiter.org(index, limits_of(zoho.org(index).edition)) as org_limiter:

                async def ask(user_type: Any) -> None:
                    async with org_limiter:
                        await zoho.client.count(token.api_domain, "v8", user_type, token.secret)

                async with asyncio.TaskGroup() as requests:
                    for user_type in USER_TYPES:
                        requests.create_task(ask(user_type))

        async with asyncio.TaskGroup() as polls:
            for index in range(8):
                polls.create_task(poll(index))
        for seen in zoho.sim.audit()["orgs"]:
            assert seen["requests"] == 10
            assert 1 <= seen["most_in_flight"] <= limits_of(zoho.org(seen["index"]).edition).in_flight
            assert seen["most_in_flight"] <= max(seen["in_flight_cap"] // 2, 1)
        assert zoho.breaches == []


async def test_no_request_is_sent_within_the_hold_of_a_429() -> None:
    async with lab(retry_after="seconds", retry_after_seconds=45) as zoho:
        token = token_of(await zoho.tokens().get(zoho.org()))
        zoho.sim.add_faults(Fault(name="too_many_requests", endpoint="count", times=1, retry_after=45))
        with zoho.limiter().org(0, limits_of("free")) as limiter:
            statuses = []
            for user_type in USER_TYPES:
                async with limiter:
                    reply = await zoho.client.count(token.api_domain, "v8", user_type, token.secret)
                assert isinstance(reply, Reply)
                statuses.append(reply.status)
                if reply.status == 429:
                    assert reply.headers["retry-after"] == "45"
                    limiter.throttle(45.0)
            assert statuses == [429] + [200] * 9
        assert zoho.breaches == []
