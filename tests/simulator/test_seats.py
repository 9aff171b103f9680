"""The simulator serves seats that change, and applies the rules of count requests to seat requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.simulator.caller import NOON, Caller, org_of_edition, playing

DAY = 86_400
LICENCES = "__features/user_licenses"
EDITION_AND_LICENCES = "org"


async def seats(caller: Caller, index: int) -> tuple[int, int]:
    """Purchased and used seats in the licence reply of one org."""
    details: dict[str, Any] = (await caller.call(index, await caller.token(index), LICENCES)).json["__features"][0]
    found = details["details"]
    assert found["available_count"]["total"] == found["limits"]["total"] - found["used_count"]["total"]
    return found["limits"]["total"], found["used_count"]["total"]


async def test_seats_move_over_two_years_and_always_agree_with_the_counts_and_with_the_org_reply() -> None:
    async with playing(orgs=40) as caller:
        paid = [org.index for org in caller.sim.fleet() if org.edition != "free"][:8]
        bought: dict[int, set[int]] = {index: set() for index in paid}
        used: dict[int, set[int]] = {index: set() for index in paid}
        for month in range(24):
            caller.clock.at = NOON + month * 30 * DAY
            now = datetime.fromtimestamp(caller.clock.at, UTC)
            for index in paid:
                limit, taken = await seats(caller, index)
                assert limit >= taken == caller.sim.expected_count(index, "ActiveUsers", now)
                (org,) = (await caller.call(index, await caller.token(index), EDITION_AND_LICENCES)).json["org"]
                assert org["license_details"]["users_license_purchased"] == limit
                bought[index].add(limit)
                used[index].add(taken)
        assert all(len(values) > 1 for values in used.values())
        # Contracts are renewed once a year; some buy as many seats as before.
        assert sum(len(values) > 1 for values in bought.values()) >= len(paid) / 2
        assert caller.breaches == []


async def test_requests_for_seats_are_audited_cost_a_credit_and_count_as_in_flight() -> None:
    async with playing(orgs=40, latency_median_seconds=1.0) as caller:
        index = org_of_edition(caller.sim, "standard")
        token = await caller.token(index)
        state = caller.sim.zoho.org_state(index)
        left = caller.sim.zoho.credits_left(state)
        assert (await caller.call(index, token, LICENCES)).status == 200
        assert caller.sim.zoho.credits_left(state) == left - 1
        assert caller.sim.audit()["requests"]["licences"] == 1
        replies = await asyncio.gather(*(caller.call(index, token, LICENCES) for _ in range(12)))
        assert sorted(reply.status for reply in replies) == [200] * 10 + [429] * 2
        assert [breach for breach in caller.breaches if "12 calls in flight, 10 allowed" in breach]


async def test_seats_are_refused_without_their_scope() -> None:
    async with playing(orgs=40) as caller:
        index = org_of_edition(caller.sim, "standard")
        state = caller.sim.zoho.org_state(index)
        token = caller.sim.zoho.issue(state, frozenset({"zohocrm.users.read", "zohocrm.org.read"}))
        reply = await caller.call(index, token, LICENCES)
        assert (reply.status, reply.json["code"]) == (401, "OAUTH_SCOPE_MISMATCH")
