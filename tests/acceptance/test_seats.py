"""Seats from the reply of Zoho to the output for planners: read once a day, kept over time, overridden by contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from poller.core.editions import limits_of
from poller.core.model import Outcome
from poller.simulator import Fault, Simulator, SimulatorOptions
from poller.store.capacity.seats import Contract, SeatReading, save_seats, seats_by_tag, set_contract, stream_seats

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.acceptance.conftest import Customer

LookAfter = Callable[..., Any]


async def make_stale(customer: Customer) -> None:
    """Makes the stored edition and seats a day old, so that the next poll requests them."""
    await customer.app.database.execute("UPDATE orgs SET facts_at = now() - interval '25 hours'")


async def usage(customer: Customer) -> dict[str, Any]:
    """The latest row of `seat_usage` by org."""
    rows = await customer.app.database.fetch("SELECT * FROM seat_usage ORDER BY taken_at")
    return {row["org"]: row for row in rows}


async def seats(database: Database, **options: Any) -> dict[str, Any]:
    return {row["org"]: row async for row in stream_seats(database, None, **options)}


async def test_seats_are_read_with_the_first_poll_of_a_day_and_counted_as_credits(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=12)) as sim, customer(sim) as mine:
        await make_stale(mine)
        await mine.poll()
        found = await usage(mine)
        for org in sim.fleet():
            row = found[org.name]
            truth = sim.expected_counts(org.index, row["taken_at"])
            # Zoho has no such report for free editions; /org and the active users stand in for it.
            assert row["source"] == ("org" if org.edition == "free" else "features")
            assert row["used"] == truth["ActiveUsers"]
            assert row["purchased"] - row["used"] == row["available"]
            assert row["edition"] == org.edition
        spent = await mine.app.database.fetch("SELECT sum(credits)::int AS spent FROM credit_spend GROUP BY org_id")
        assert {row["spent"] for row in spent} == {12}
        await mine.poll()
        assert await mine.app.database.fetchval("SELECT count(*) FROM seat_readings") == 12
        assert sim.audit()["breaches"] == []


async def test_seats_are_read_again_a_day_later_and_both_readings_are_kept(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim, customer(sim) as mine:
        await make_stale(mine)
        await mine.poll()
        await mine.app.database.execute("UPDATE seat_readings SET taken_at = taken_at - interval '1 day'")
        await make_stale(mine)
        await mine.poll()
        assert await mine.app.database.fetchval("SELECT count(*) FROM seat_readings") == 6


async def test_seats_are_read_at_most_once_a_day_by_any_number_of_pollers(customer: LookAfter) -> None:
    async with Simulator(SimulatorOptions(orgs=12, latency_median_seconds=0.005)) as sim, customer(sim) as mine:
        for hours, readings in ((23, 0), (25, 1), (1, 1), (12, 1), (23, 1), (25, 2)):
            await mine.app.database.execute("UPDATE orgs SET facts_at = now() - make_interval(hours => $1)", hours)
            await asyncio.gather(mine.poll(), mine.poll())
            # The second of two pollers may find the org polled; neither reads its seats again.
            requests = sim.audit()["requests"]
            assert (requests.get("licences", 0), requests.get("org", 0)) == (12 * readings, 12 * readings)
        assert await mine.app.database.fetchval("SELECT count(*) FROM seat_readings") == 24
        assert sim.audit()["breaches"] == []


async def test_reading_seats_stays_within_the_requests_in_flight_of_each_org(customer: LookAfter) -> None:
    options = SimulatorOptions(orgs=24, latency_median_seconds=0.01, latency_p99_seconds=0.2)
    async with Simulator(options) as sim, customer(sim) as mine:
        await make_stale(mine)
        await asyncio.gather(mine.poll(), mine.poll())
        found = sim.audit()
        assert found["requests"]["licences"] >= 24
        editions = {org.name: org.edition for org in sim.fleet()}
        assert set(editions.values()) > {"free"}
        for org in found["orgs"]:
            # Half of what Zoho allows: the rest is for the other programs of the customer.
            assert 1 < org["most_in_flight"] <= limits_of(editions[org["name"]]).in_flight <= org["in_flight_cap"] / 2
        assert found["breaches"] == []


async def test_a_missing_licence_scope_is_reported_with_its_remedy_and_does_not_fail_the_poll(
    customer: LookAfter,
) -> None:
    async with Simulator(SimulatorOptions(orgs=4)) as sim, customer(sim) as mine:
        sim.add_faults(Fault(name="oauth_scope_mismatch", endpoint="licences"))
        await make_stale(mine)
        polled = await mine.poll()
        assert {one.snapshot.outcome for one in polled.values()} == {Outcome.OK}
        found = await seats(mine.app.database)
        assert {row["code"] for row in found.values()} == {"OAUTH_SCOPE_MISMATCH"}
        assert all("the consent lacks a scope" in row["remedy"] for row in found.values())
        assert {row["source"] for row in (await usage(mine)).values()} == {"org"}
        sim.clear_faults()
        await make_stale(mine)
        await mine.poll()
        paid = {org.name for org in sim.fleet() if org.edition != "free"}
        assert {name for name, row in (await seats(mine.app.database)).items() if row["code"] is None} >= paid


async def test_seats_of_a_contract_override_those_of_zoho_until_the_contract_is_removed(database: Database) -> None:
    org_id = await database.fetchval(
        "INSERT INTO orgs (name, data_center, tags) VALUES ('A', 'eu', '{gold}') RETURNING id"
    )
    now = datetime.now(UTC)
    await save_seats(database, org_id, SeatReading(100, 80, "enterprise", date(2027, 3, 1), "features"), now)
    before = (await seats(database))["A"]
    assert (before["purchased"], before["used"], before["idle"], before["idle_cost"]) == (100, 80, 20, None)
    terms = {"purchased": 120, "price": Decimal("19.90"), "currency": "EUR", "renews_on": date(2027, 1, 31)}
    assert await set_contract(database, [org_id], Contract(terms)) == 1
    row = (await seats(database))["A"]
    assert (row["purchased"], row["available"], row["idle"], row["renews_on"]) == (120, 40, 40, date(2027, 1, 31))
    assert row["idle_cost"] == 40 * Decimal("19.90")
    (of_tag,) = await seats_by_tag(database, None)
    assert (of_tag["tag"], of_tag["idle"], of_tag["currency"], of_tag["idle_cost"]) == ("gold", 40, "EUR", Decimal(796))
    await set_contract(database, [org_id], Contract({"purchased": None}))
    assert (await seats(database))["A"]["purchased"] == 100
    await set_contract(database, [org_id], Contract(dict.fromkeys(terms)))
    assert (await seats(database))["A"] == before


async def test_used_seats_are_the_newest_count_of_active_users_if_the_seats_were_read_a_week_ago(
    database: Database,
) -> None:
    org_id = await database.fetchval("INSERT INTO orgs (name, data_center) VALUES ('A', 'eu') RETURNING id")
    week_ago = datetime.now(UTC) - timedelta(days=7)
    await save_seats(database, org_id, SeatReading(100, 80, None, None, "features"), week_ago)
    await database.execute(
        "INSERT INTO latest_snapshots (org_id, active_users, slot, polled_at) VALUES ($1, 93, now(), now())", org_id
    )
    row = (await seats(database))["A"]
    assert (row["purchased"], row["used"]) == (100, 93)


async def test_the_renewal_filter_shows_only_orgs_that_renew_soon(database: Database) -> None:
    today = datetime.now(UTC).date()
    for name, days in (("Soon", 20), ("Later", 200)):
        org_id = await database.fetchval("INSERT INTO orgs (name, data_center) VALUES ($1, 'eu') RETURNING id", name)
        await set_contract(database, [org_id], Contract({"renews_on": today + timedelta(days=days)}))
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('Unknown', 'eu')")
    assert list(await seats(database, renews_before=today + timedelta(days=60))) == ["Soon"]
    assert len(await seats(database)) == 3
