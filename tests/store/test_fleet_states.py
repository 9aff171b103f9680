"""The sums over the fleet in `poller status`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.states import State
from poller.store.fleet_states import credit_sum, read_states

if TYPE_CHECKING:
    from poller.store.database import Database

NOW = datetime.now(UTC)


@pytest.fixture
async def spending(database: Database) -> int:
    """Writes credits of 500 orgs, a quarter older than a day; returns the credits of the last day."""
    await database.execute(
        "INSERT INTO orgs (name, data_center) SELECT 'org ' || n, 'us' FROM generate_series(1, 500) AS n"
    )
    await database.execute(
        """
        INSERT INTO credit_spend (org_id, bucket, credits)
        SELECT id, $1::timestamptz - n * interval '15 minutes' - CASE WHEN n < 20 THEN interval '2 days' ELSE '0' END,
               10 + n % 3
        FROM generate_series(0, 79) AS n, orgs
        """,
        NOW,
    )
    await database.execute("ANALYZE credit_spend")
    since = NOW - timedelta(days=1)
    total: int = await database.fetchval("SELECT sum(credits) FROM credit_spend WHERE bucket > $1", since)
    return total


async def test_the_credits_of_a_small_fleet_are_summed_exactly(database: Database, spending: int) -> None:
    spent = await credit_sum(database, NOW - timedelta(days=1))
    assert (spent.spent, spent.estimated) == (spending, False)


async def test_the_credits_of_a_large_fleet_are_estimated_from_a_sample(database: Database, spending: int) -> None:
    spent = await credit_sum(database, NOW - timedelta(days=1), exact_rows=39_000, sampled_rows=20_000)
    assert spent.estimated
    assert spent.spent == pytest.approx(spending, rel=0.3)


async def test_a_sample_of_all_rows_gives_the_exact_sum(database: Database, spending: int) -> None:
    spent = await credit_sum(database, NOW - timedelta(days=1), exact_rows=39_000, sampled_rows=100_000)
    assert (spent.spent, spent.estimated) == (spending, True)


async def test_credits_are_0_if_nothing_was_spent(database: Database) -> None:
    assert (await credit_sum(database, NOW)).spent == 0


async def test_for_each_problem_all_orgs_are_counted_and_the_first_by_name_are_listed(database: Database) -> None:
    await database.execute(
        "INSERT INTO orgs (name, data_center, parked_at, parked_code, parked_remedy)"
        " SELECT 'org ' || n, 'us', now(), CASE WHEN n > 5 THEN 'invalid_code' ELSE 'access_denied' END, 'do it'"
        " FROM unnest('{9,1,8,2,7,3,6}'::int[]) AS n"
    )
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('new', 'us')")
    sums, troubles = await read_states(database, (State.PARKED,), 2)
    assert sums.orgs == {"parked": 7, "never_polled": 1}
    assert [(one.reason, one.count, list(one.orgs)) for one in troubles] == [
        ("invalid_code", 4, ["org 6", "org 7"]),
        ("access_denied", 3, ["org 1", "org 2"]),
    ]
