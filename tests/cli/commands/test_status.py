from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.policy import PollPolicy
from poller.store.database import connect
from poller.store.orgs import credits as credit_store
from poller.store.queue.service_settings import save_service_settings
from poller.store.series.snapshots import write_snapshots
from tests import command

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

NOW = datetime.now(UTC)
FULL = dict.fromkeys(USER_TYPES, 5)


@pytest.fixture
def fleet(on_database: str) -> str:
    """Five orgs of the free edition: polled on time, polled late, failed, failed two days ago, and paused."""

    async def write() -> None:
        async with await connect(on_database) as database:
            await database.execute(
                "INSERT INTO orgs (name, data_center, edition)"
                " SELECT name, 'us', 'free' FROM unnest('{well,late,vain,silent,paused}'::text[]) AS name"
            )
            await database.execute("UPDATE orgs SET paused_at = now() WHERE name = 'paused'")
            await database.execute(
                "INSERT INTO org_credentials (org_id, client_id, client_secret, soid, grant_fingerprint, key_id)"
                " SELECT id, '1000.A', 'x', 'ZohoCRM.1', sha256('x'), 'k1' FROM orgs"
            )
            hour = timedelta(hours=1)
            await write_snapshots(
                database,
                [
                    Snapshot(1, NOW - 3 * hour, NOW, Outcome.UNAVAILABLE, "http_503"),
                    Snapshot(1, NOW - 2 * hour, NOW, Outcome.OK, counts=FULL),
                    Snapshot(2, NOW - 2 * hour, NOW, Outcome.OK, counts=FULL, late_seconds=40),
                    Snapshot(3, NOW - 2 * hour, NOW, Outcome.OK, counts=FULL),
                    Snapshot(3, NOW - hour, NOW, Outcome.UNAVAILABLE, "timeout"),
                    Snapshot(4, NOW - 48 * hour, NOW, Outcome.UNAVAILABLE, "dns"),
                    Snapshot(5, NOW - hour, NOW, Outcome.MISSED, "too_late"),
                ],
            )
            await credit_store.spend(database, {1: 500, 2: 40}, NOW)
            await credit_store.spend(database, {1: 7}, NOW - timedelta(days=2))

    asyncio.run(write())
    return on_database


def section(ended: Ended, heading: str) -> dict[str, str]:
    """The facts under a heading, by name."""
    assert (ended.code, ended.err) == (0, "")
    found = ended.out.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
    pairs = [line.split("  ") for line in found.splitlines()]
    return {name.strip(): fact.strip() for _, name, *_, fact in pairs}


def test_the_status_counts_the_newest_poll_of_each_active_org_by_outcome(poller: Poller, fleet: str) -> None:
    assert section(poller("status"), "last polls") == {
        "ok": "2 orgs",
        "unavailable": "1 org",
        "late": "1 poll, by 40 s at the most",
    }


def test_the_status_lists_orgs_that_need_a_person_first_with_reason_and_remedy(poller: Poller, fleet: str) -> None:
    states, needs, *_ = poller("status").out.split("\n\n")
    assert dict(line.rsplit(maxsplit=1) for line in states.splitlines()) == {
        "orgs": "5",
        "failing": "2",
        "paused": "1",
        "ok": "2",
        "stretched": "4",
    }
    assert needs.splitlines()[0] == "needs a person:"
    assert needs.splitlines()[1].startswith("  1 failing, dns: ")
    assert needs.splitlines()[2] == "      silent"
    assert needs.splitlines()[3].startswith("  1 failing, timeout: ")
    assert needs.splitlines()[4] == "      vain"


def test_the_status_says_how_many_orgs_that_need_a_person_it_left_out(poller: Poller, fleet: str) -> None:
    async def fail() -> None:
        async with await connect(fleet) as database:
            rows = await database.fetch(
                "INSERT INTO orgs (name, data_center)"
                " SELECT 'org ' || n, 'us' FROM generate_series(1, 33) n RETURNING id"
            )
            batch = [Snapshot(row["id"], NOW, NOW, Outcome.FORBIDDEN, "NO_PERMISSION") for row in rows]
            await write_snapshots(database, batch)

    asyncio.run(fail())
    ended = poller("status")
    assert "  33 failing, NO_PERMISSION: in Zoho CRM, Setup" in ended.out
    assert "and 13 more (`poller orgs list --state failing` names all)" in ended.out
    listed = poller("orgs", "list", "--state", "failing", "--json").out.splitlines()
    assert len(listed) == 35
    found = json.loads(poller("status", "--json").out)
    assert found["states"]["failing"] == 35
    (group,) = [one for one in found["needs_a_person"] if one["reason"] == "NO_PERMISSION"]
    assert (group["count"], sorted(group["orgs"])) == (33, sorted(f"org {n}" for n in range(1, 34)))


def test_the_status_is_one_json_object_with_the_orgs_that_need_a_person(poller: Poller, fleet: str) -> None:
    found = json.loads(poller("status", "--json").out)
    assert found["states"] == {"failing": 2, "paused": 1, "ok": 2}
    assert [(one["reason"], one["count"], one["orgs"]) for one in found["needs_a_person"]] == [
        ("dns", 1, ["silent"]),
        ("timeout", 1, ["vain"]),
    ]
    assert found["credits"] == {"spent": 540, "share": 2_500, "estimated": False, "orgs_out_of_credits": 0}


@pytest.mark.parametrize(
    ("states", "code"), [("failing", 1), ("failing,parked,late", 1), ("parked,late", 0), ("never-polled", 0)]
)
def test_the_exit_code_of_status_is_1_if_an_org_is_in_a_state_of_fail_on(
    poller: Poller, fleet: str, states: str, code: int
) -> None:
    assert poller("status", "--fail-on", states).code == code
    assert poller("status", "--fail-on", "broken").error.startswith("poller: --fail-on broken: there is no such state")


async def test_a_watched_status_is_shown_again_until_it_is_stopped(fleet: str) -> None:
    watching = await command.start("status", "--watch", "--json")
    try:
        first = json.loads(await watching.stdout.readline())
        second = json.loads(await watching.stdout.readline())
    finally:
        watching.send_signal(signal.SIGINT)
        code = await watching.wait()
    assert first["at"] < second["at"]
    assert code == 130


def test_the_status_shows_the_interval_and_credit_share_of_the_running_service_and_not_of_its_own_settings(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve() -> None:
        async with await connect(fleet) as database:
            await save_service_settings(database, PollPolicy(300, 0.5), NOW)

    asyncio.run(serve())
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "1h")
    monkeypatch.setenv("POLLER_CREDIT_SHARE", "0.01")
    assert json.loads(poller("status", "--json").out)["credits"]["share"] == 12_500
    org = json.loads(poller("orgs", "show", "well", "--json").out)
    assert (org["interval_seconds"], org["effective_interval_seconds"]) == (300, 360)


def test_the_status_shows_the_credits_spent_in_a_day(poller: Poller, fleet: str) -> None:
    assert section(poller("status"), "credits of the last 24 hours") == {
        "spent": "540 of 2,500 that are the poller's share",
    }


def test_orgs_that_have_used_up_their_share_are_counted(poller: Poller, fleet: str) -> None:
    async def refuse() -> None:
        async with await connect(fleet) as database:
            await write_snapshots(database, [Snapshot(1, NOW, NOW, Outcome.THROTTLED, "credit_share_spent")])

    asyncio.run(refuse())
    facts = section(poller("status"), "credits of the last 24 hours")
    assert facts["used up"] == "1 org waits until part of its share is older than a day"
    assert json.loads(poller("orgs", "show", "well", "--json").out)["state"] == "held"
