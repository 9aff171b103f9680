from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store import credits as credit_store
from poller.store.database import connect
from poller.store.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

NOW = datetime.now(UTC)
FULL = dict.fromkeys(USER_TYPES, 5)


@pytest.fixture
def fleet(on_database: str) -> str:
    """Five orgs of the free edition: polled well, late, in vain, in vain two days ago, and paused."""

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


def test_the_newest_poll_of_each_active_org_is_counted_by_outcome_and_the_failing_are_named(
    poller: Poller, fleet: str
) -> None:
    ended = poller("status")
    assert section(ended, "last polls") == {
        "ok": "2 orgs",
        "unavailable": "1 org",
        "late": "1 of them, by 40 s at the most",
    }
    assert section(ended, "failing") == {"vain": "unavailable: timeout"}


def test_the_credits_of_a_day_are_told_and_how_many_orgs_have_used_theirs_up(poller: Poller, fleet: str) -> None:
    assert section(poller("status"), "credits of the last 24 hours") == {
        "spent": "540 of 2,500 that are the poller's share",
        "used up": "1 org waits until part of its share is older than a day",
    }
