from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from poller.core.model import USER_TYPES, Outcome
from poller.simulator import Fault, Simulator, SimulatorOptions

if TYPE_CHECKING:
    from tests.acceptance.conftest import Customer

LookAfter = Callable[..., Any]


async def rows_of(customer: Customer, org: str) -> list[Any]:
    return await customer.app.database.fetch(
        "SELECT user_type, count, outcome, error, polled_at FROM user_counts WHERE org = $1 ORDER BY slot", org
    )


async def test_every_org_gets_a_row_with_the_ten_counts_zoho_has_for_it(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=40)) as sim, customer(sim) as mine:
        polled = await mine.poll()
        assert len(polled) == 40
        for index, org in enumerate(sim.fleet()):
            rows = await rows_of(mine, org.name)
            assert {row["user_type"]: row["count"] for row in rows} == sim.expected_counts(index, rows[0]["polled_at"])
            assert {row["outcome"] for row in rows} == {"ok"}
        assert sim.audit()["breaches"] == []


async def test_a_second_poll_of_a_slot_uses_the_same_token_and_adds_no_row(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=5)) as sim, customer(sim, poll_interval_seconds=86_400) as mine:
        await mine.poll()
        await mine.poll()
        assert await mine.app.database.fetchval("SELECT count(*) FROM org_snapshots") == 5
        assert await mine.app.database.fetchval("SELECT sum(generation)::int FROM access_tokens") == 5


async def test_an_internal_error_for_one_org_is_recorded_in_its_row_and_all_other_orgs_are_polled(
    customer: LookAfter,
) -> None:
    async with Simulator(SimulatorOptions(orgs=6)) as sim, customer(sim) as mine:
        names = [org.name for org in sim.fleet()]
        # The client refuses to ask in such a way, and its callers are to see to it that it never has to.
        await mine.app.database.execute("UPDATE orgs SET api_version = 'v12345' WHERE name = $1", names[2])
        polled = await mine.poll()
        row = polled[names[2]].snapshot
        assert (row.outcome, row.error, row.counts) == (Outcome.MISSED, "crashed", {})
        assert {polled[name].snapshot.outcome for name in names if name != names[2]} == {Outcome.OK}
        assert {row["count"] for row in await rows_of(mine, names[2])} == {None}


async def test_a_failure_of_one_org_does_not_change_the_row_of_another(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=12, retry_after="seconds")) as sim, customer(sim) as mine:
        names = [org.name for org in sim.fleet()]
        sim.add_faults(
            Fault(name="too_many_requests", org=0),
            Fault(name="internal_error", org=1),
            Fault(name="oauth_scope_mismatch", org=2),
            Fault(name="truncated", org=3, user_type="AdminUsers"),
            Fault(name="count_null", org=4),
        )
        polled = await mine.poll()
        outcomes = {name: polled[name].snapshot.outcome for name in names}
        assert outcomes == dict.fromkeys(names, Outcome.OK) | {
            names[0]: Outcome.THROTTLED,
            names[1]: Outcome.UNAVAILABLE,
            names[2]: Outcome.FORBIDDEN,
            names[3]: Outcome.PARTIAL,
            names[4]: Outcome.MALFORMED,
        }
        for name in names:
            rows = await rows_of(mine, name)
            assert {row["user_type"] for row in rows} == {user_type.value for user_type in USER_TYPES}
            assert all((row["count"] is None) == (row["error"] is not None) for row in rows)
        assert sim.audit()["breaches"] == []
