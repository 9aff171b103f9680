from __future__ import annotations

import math
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import structlog

from poller.core.errors import DatabaseError
from poller.core.fleet import FleetStats
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot
from poller.core.reply import Failure, NoReply, Reply, classify
from poller.core.schedule import Due
from poller.polling.results import PollResult
from poller.store.fleet_stats import fleet_stats, org_ages
from poller.store.series.snapshots import write_snapshots
from poller.web import Health, WorkerMetrics, serve
from tests.store.fleet import added, entry
from tests.web.scrape import values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORG = Org(1, "Acme Ltd", "eu", "v7", 900)
NOTHING = FleetStats({"active": 3}, {"overdue": 2}, 1.5, 1, {"rollups": 1.0}, [0] * 9 + [3])


class Process:
    """The parts of a process that the server uses."""

    def __init__(self) -> None:
        self.why_not: str | None = None
        self.database_is_away = False

    async def figures(self) -> FleetStats:
        if self.database_is_away:
            raise DatabaseError("PostgreSQL: no connection", "start it", passing=True)
        return NOTHING

    async def ages(self, at_most: int) -> Mapping[str, float]:
        if self.database_is_away:
            raise DatabaseError("PostgreSQL: no connection", "start it", passing=True)
        return dict([("Acme Ltd", 60.0), ('A "b"\nc', math.inf)][:at_most])


@asynccontextmanager
async def served(process: Process, figures: WorkerMetrics | None = None, *, orgs_named: int = 0) -> AsyncIterator[str]:
    health = Health(lambda: process.why_not, process.figures, process.ages, orgs_named)
    async with serve("127.0.0.1", 0, health, figures or WorkerMetrics()) as url:
        assert url is not None
        yield url


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, await reply.text()


async def test_readyz_is_ok_while_the_worker_polls_and_the_database_answers() -> None:
    process = Process()
    async with served(process) as url:
        assert await get(f"{url}/readyz") == (200, "ready\n")
        process.database_is_away = True
        assert await get(f"{url}/readyz") == (503, "PostgreSQL: no connection\n")
        process.why_not = "stopping"
        assert await get(f"{url}/readyz") == (503, "stopping\n")
        assert await get(f"{url}/healthz") == (200, "alive\n")


async def test_a_second_server_on_a_taken_default_port_warns_and_the_process_continues() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = Process()
        with structlog.testing.capture_logs() as logs:
            port = taken.getsockname()[1]
            async with serve(
                "127.0.0.1", port, Health(lambda: None, process.figures, process.ages), WorkerMetrics()
            ) as url:
                assert url is None
    assert [entry["event"] for entry in logs] == ["web.not_served"]
    assert "POLLER_WEB_HOST" in logs[0]["remedy"]


async def test_worker_metrics_are_in_base_units() -> None:
    figures = WorkerMetrics()
    due = Due(1, NOON, 900)
    figures.slots_enqueued(50)
    figures.slot_claimed(due, due.at + timedelta(seconds=2))
    ok = Snapshot(1, NOON, NOON, Outcome.OK, late_seconds=2, requests=10, duration_ms=500)
    missed = Snapshot(1, NOON, None, Outcome.MISSED, "too_late")
    figures.results_committed([PollResult(ORG, ok, extra_requests=1), PollResult(ORG, missed)])
    figures.slots_missed(40, "not_running")
    figures.slots_requeued("hold", 1)
    figures.database_error()

    async def time_out(_server: str, _form: object) -> NoReply:
        return NoReply(Failure.TIMEOUT)

    await figures.wrap_post_token(time_out)("https://accounts.example", {})
    figures.token_issued()
    figures.add_gauges("poller_data_center_away", "Away.", "data_center", lambda: {"eu": 1.0, "us": 0.0})
    figures.add_gauge("poller_readings_held", "Held.", lambda: 7)
    async with served(Process(), figures) as url:
        status, text = await get(f"{url}/metrics")
    assert status == 200
    found = values(text)
    assert found["poller_polls_total outcome=ok"] == 1
    assert found["poller_polls_total outcome=throttled"] == 0
    assert found["poller_slots_missed_total reason=not_running"] == 40
    assert found["poller_slots_missed_total reason=too_late"] == 1
    assert found["poller_slots_late_total"] == 1
    assert found["poller_poll_lateness_seconds_sum"] == 2
    assert found["poller_poll_duration_seconds_sum"] == 0.5
    assert found["poller_slots_due_total"] == 90
    assert found["poller_credits_spent_total"] == 11
    assert found["poller_tokens_issued_total"] == 1
    assert found["poller_data_center_away data_center=eu"] == 1
    assert found["poller_data_center_away data_center=us"] == 0
    assert found["poller_token_requests_total status=timeout"] == 1
    assert found["poller_slots_put_back_total reason=hold"] == 1
    assert found["poller_database_errors_total"] == 1
    assert found["poller_readings_held"] == 7
    assert found["poller_database_up"] == 1
    assert found["poller_orgs state=active"] == 3
    assert found["poller_queue_jobs state=overdue"] == 2
    assert found["poller_queue_overdue_seconds"] == 1.5
    assert found["poller_org_freshness_seconds_bucket le=+Inf"] == 3
    assert "Acme" not in text


def test_requests_are_counted_by_outcome_and_status_and_waits_by_duration() -> None:
    figures = WorkerMetrics()
    for reply in (Reply(200, b'{"count": 7}'), Reply(200, b'{"count": 8}'), NoReply(Failure.DNS), Reply(200, b"7")):
        figures.request_classified(reply, classify(reply, NOON))
    figures.limiter_waited(0.005)
    figures.limiter_waited(3.0)
    figures.limiter_waited(21.0)
    found = values(figures.text(None).decode())
    assert found["poller_requests_total outcome=ok status=200"] == 2
    assert found["poller_requests_total outcome=malformed status=200"] == 1
    assert found["poller_requests_total outcome=unavailable status=dns"] == 1
    assert found["poller_limiter_wait_seconds_bucket le=0.001"] == 0
    assert found["poller_limiter_wait_seconds_bucket le=0.005"] == 1, "a bound is within its bucket"
    assert found["poller_limiter_wait_seconds_bucket le=5.0"] == 2
    assert found["poller_limiter_wait_seconds_count"] == found["poller_limiter_wait_seconds_bucket le=+Inf"] == 3
    assert found["poller_limiter_wait_seconds_sum"] == 24.005


async def test_without_the_database_a_process_still_shows_its_own_metrics() -> None:
    process = Process()
    process.database_is_away = True
    async with served(process) as url:
        status, text = await get(f"{url}/metrics")
    found = values(text)
    assert status == 200
    assert found["poller_database_up"] == 0
    assert "poller_polls_total outcome=ok" in found
    assert not any(name.startswith("poller_orgs") for name in found)


async def test_the_metrics_of_the_fleet_come_from_the_database(database: Database, keyring: Keyring) -> None:
    ids = await added(database, keyring, *(entry(name) for name in ("new", "fresh", "old", "paused", "parked")))
    for org_id, minutes in zip(ids[1:], (2, 90, 1, 1), strict=True):
        at = NOON - timedelta(minutes=minutes)
        await write_snapshots(database, [Snapshot(org_id, at, at, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 1))])
    await database.execute("UPDATE orgs SET paused_at = now() WHERE name = 'paused'")
    await database.execute("UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code' WHERE name = 'parked'")
    figures = await fleet_stats(database, NOON)
    assert figures.orgs == {"active": 3, "paused": 1, "parked": 1}
    assert list(figures.freshness) == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert figures.freshness_sum_seconds == 92 * 60
    assert figures.jobs == {"waiting": 0, "overdue": 0, "under_way": 0}


async def test_metrics_per_org_are_shown_only_if_requested_and_not_for_too_many_orgs() -> None:
    process = Process()
    async with served(process) as url:
        status, text = await get(f"{url}/metrics/orgs")
        assert status == 404
        assert "set POLLER_METRICS_ORGS" in text
    async with served(process, orgs_named=1) as url:
        status, text = await get(f"{url}/metrics/orgs")
        assert status == 413
        assert text == "there are more orgs than the 1 of POLLER_METRICS_ORGS; raise POLLER_METRICS_ORGS\n"
    async with served(process, orgs_named=2) as url:
        status, text = await get(f"{url}/metrics/orgs")
        assert status == 200
        assert values(text) == {
            "poller_org_age_seconds org=Acme Ltd": 60,
            'poller_org_age_seconds org=A "b"\nc': math.inf,
        }
        process.database_is_away = True
        status, text = await get(f"{url}/metrics/orgs")
        assert (status, text) == (503, "the database does not answer; try again in a few seconds\n")


async def test_the_age_metric_of_an_org_is_that_of_its_newest_known_counts(
    database: Database, keyring: Keyring
) -> None:
    ids = await added(database, keyring, *(entry(name) for name in ("fresh", "new", "paused")))
    at = NOON - timedelta(minutes=2)
    await write_snapshots(database, [Snapshot(ids[0], at, at, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 1))])
    await database.execute("UPDATE orgs SET paused_at = now() WHERE name = 'paused'")
    assert await org_ages(database, NOON, 10) == {"fresh": 120.0, "new": math.inf}
    assert await org_ages(database, NOON, 1) == {"fresh": 120.0}
