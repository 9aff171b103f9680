from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import structlog

from poller.core.model import Org, Outcome, Snapshot
from poller.polling.results import PollResult
from poller.simulator import Fault
from poller.worker.circuit_breakers import CircuitBreakers
from tests.worker.lag import measured_lag
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenService = Callable[..., Any]


def test_a_slot_missed_while_waiting_for_a_data_centre_is_recorded_with_this_reason() -> None:
    closed_at = datetime(2026, 11, 26, 12, tzinfo=UTC)
    circuits = CircuitBreakers(closed_at={"eu": closed_at})
    assert circuits.was_unavailable("eu", closed_at - timedelta(seconds=1))
    assert not circuits.was_unavailable("eu", closed_at)
    assert not circuits.was_unavailable("us", closed_at - timedelta(seconds=1))


def test_a_circuit_opens_after_the_first_pass_of_three_orgs_is_unanswered_and_not_only_at_the_end_of_polls() -> None:
    now, circuits = datetime(2026, 11, 26, 12, tzinfo=UTC), CircuitBreakers()
    for org_id in (1, 2):
        circuits.on_unanswered("eu", org_id, "timeout", now, now)
    assert circuits.facts() == {}
    circuits.on_unanswered("eu", 3, "timeout", now, now)
    assert circuits.facts() == {"eu": {"since": now.isoformat(), "error": "timeout"}}


def test_requests_that_fail_on_this_machine_open_no_circuit() -> None:
    now, circuits = datetime(2026, 11, 26, 12, tzinfo=UTC), CircuitBreakers()
    for org_id in range(10):
        circuits.on_unanswered("eu", org_id, "local_resources", now, now)
        circuits.on_unanswered("eu", org_id, "no_route", now, now)
    assert circuits.facts() == {}


def test_replies_from_before_an_outage_do_not_close_the_circuit_and_failures_from_it_do_not_open_it_again() -> None:
    start, second, circuits = datetime(2026, 11, 26, 12, tzinfo=UTC), timedelta(seconds=1), CircuitBreakers()

    def ended(outcome: Outcome, begun: datetime, now: datetime) -> None:
        snapshot = Snapshot(9, start, begun, outcome, "timeout", requests=10)
        circuits.on_result(PollResult(Org(9, "Acme Ltd", "eu", "v7", 900), snapshot), now)

    for org_id in (1, 2, 3):
        circuits.on_unanswered("eu", org_id, "timeout", start, start + 3 * second)
    ended(Outcome.PARTIAL, start, start + 4 * second)
    assert "eu" in circuits.facts()
    ended(Outcome.OK, start + 5 * second, start + 6 * second)
    assert circuits.facts() == {}
    for org_id in (1, 2, 3):
        circuits.on_unanswered("eu", org_id, "timeout", start + 5 * second, start + 8 * second)
        ended(Outcome.UNAVAILABLE, start + 5 * second, start + 8 * second)
    assert circuits.facts() == {}
    for org_id in (1, 2, 3):
        circuits.on_unanswered("eu", org_id, "timeout", start + 7 * second, start + 10 * second)
    assert "eu" in circuits.facts()


async def test_an_unreachable_data_centre_delays_no_other_and_is_polled_on_time_when_it_is_reachable_again(
    service: OpenService, database_url: str
) -> None:
    async with service(orgs=16, interval=5, request_timeout_seconds=3, concurrency=16) as mine:
        homes = {org.name: org.data_center for org in mine.sim.fleet()}
        with structlog.testing.capture_logs() as logs:
            async with mine.worker() as worker, measured_lag(database_url) as lag:
                await mine.until("SELECT count(DISTINCT org_id) = 16 FROM org_snapshots WHERE outcome = 'ok'")
                mine.sim.add_faults(Fault(name="hang", data_center="sim-eu"))
                await eventually(lambda: "sim-eu" in worker.facts()["away"])
                dead_at = await mine.app.database.fetchval("SELECT now()")
                await mine.until(
                    "SELECT count(*) > 3 FROM org_snapshots WHERE error = 'data_center_away' AND slot > $1",
                    dead_at,
                    seconds=60,
                )
                mine.sim.clear_faults()
                await eventually(lambda: not worker.facts()["away"])
                back_at = await mine.app.database.fetchval("SELECT now()")
                await mine.until(
                    "SELECT count(*) >= 16 FROM org_snapshots WHERE outcome = 'ok' AND polled_at > $1", back_at
                )
        rows = await mine.rows()
        for name, home in homes.items():
            of_org = [row for row in rows if row["name"] == name]
            slots = [row["slot"] for row in of_org]
            assert {(later - earlier).total_seconds() for earlier, later in pairwise(slots)} == {5.0}
            outcomes = Counter(row["outcome"] for row in of_org)
            if home == "sim-us":
                assert outcomes.keys() == {"ok"}
                assert max(row["late_seconds"] for row in of_org) <= 2 + lag.of_a_poll
            else:
                # A poll that was running when the data centre became unreachable, or reachable again, may be partial.
                assert outcomes.keys() - {"partial"} == {"ok", "unavailable"}
                assert outcomes["partial"] <= 2
        events = [entry["event"] for entry in logs]
        assert (events.count("data_center.away"), events.count("data_center.back")) == (1, 1)
        assert mine.sim.audit()["breaches"] == []
