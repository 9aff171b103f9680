"""Limits left by a worker with a clock two years ahead are cleared; limits from a right clock are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.maintenance import TASK_SECONDS
from poller.store.orgs.future_limits import clear_future_limits
from poller.worker.maintenance import maintenance_tasks
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

KINDS = (
    "holds", "credits_remaining", "cool_downs", "leases", "probes", "org_info", "credits_spent", "token_budgets",
)  # fmt: skip


async def limit_everything(database: Database, org_id: int, at: datetime) -> None:
    """Sets holds, cool-downs, leases and parks for the org until `at`, or as of `at`."""
    await database.execute(
        """
        INSERT INTO org_limits (org_id, hold_until, holds, credits_remaining, credits_remaining_at)
        VALUES ($1, $2, 3, 100, $2)
        """,
        org_id,
        at,
    )
    await database.execute(
        "INSERT INTO access_tokens (org_id, lease_holder, lease_until, cool_until, cool_downs) "
        "VALUES ($1, gen_random_uuid(), $2, $2, 2) ON CONFLICT (org_id) DO UPDATE SET lease_holder = "
        "excluded.lease_holder, lease_until = excluded.lease_until, cool_until = excluded.cool_until, cool_downs = 2",
        org_id,
        at,
    )
    await database.execute(
        "UPDATE orgs SET parked_at = created_at, parked_code = 'NO_PERMISSION', parked_remedy = 'ask', probe_at = $2, "
        "facts_at = $2 WHERE id = $1",
        org_id,
        at,
    )
    await database.execute("INSERT INTO credit_spend VALUES ($1, $2, 10)", org_id, at)
    await database.execute(
        "INSERT INTO token_budgets VALUES (sha256($1::text::bytea), ARRAY[$2::timestamptz])", str(org_id), at
    )


async def everything(database: Database, org_id: int) -> tuple[Any, ...]:
    (row,) = await database.fetch(
        """
        SELECT l.hold_until, l.holds, l.credits_remaining, l.credits_remaining_at, t.lease_until, t.lease_holder,
               t.cool_until, o.probe_at, o.facts_at, s.bucket, b.issued_at
        FROM orgs o LEFT JOIN org_limits l ON l.org_id = o.id LEFT JOIN access_tokens t ON t.org_id = o.id
             LEFT JOIN credit_spend s ON s.org_id = o.id
             LEFT JOIN token_budgets b ON b.grant_fingerprint = sha256(o.id::text::bytea)
        WHERE o.id = $1
        """,
        org_id,
    )
    return tuple(row)


async def test_limits_dated_by_a_clock_two_years_ahead_are_cleared_and_correct_ones_are_kept(
    database: Database, keyring: Keyring
) -> None:
    now = await database.fetchval("SELECT now()")
    wrong, right = await added(database, keyring, entry("a"), entry("b"))
    await limit_everything(database, wrong, now + timedelta(days=730))
    await limit_everything(database, right, now)
    kept = await everything(database, right)
    assert await clear_future_limits(database, now) == dict.fromkeys(KINDS, 1)
    assert await everything(database, right) == kept
    hold, holds, remaining, remaining_at, lease, holder, cool, probe, facts, bucket, issued = await everything(
        database, wrong
    )
    assert (hold, holds, remaining, remaining_at, lease, holder, cool, bucket, issued) == (None, 0, *[None] * 7)
    assert max(probe, facts) <= await database.fetchval("SELECT now()")
    assert await clear_future_limits(database, now) == {}


@pytest.mark.parametrize("seconds", [-730 * 86_400.0, 0.0])
async def test_a_clock_that_is_slow_clears_no_limit(database: Database, keyring: Keyring, seconds: float) -> None:
    now = await database.fetchval("SELECT now()")
    (org_id,) = await added(database, keyring, entry("a"))
    await limit_everything(database, org_id, now)
    assert await clear_future_limits(database, now + timedelta(seconds=seconds)) == {}


async def test_the_hourly_credits_task_clears_limits_in_the_future(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    far = NOON.replace(year=2999)
    await limit_everything(database, org_id, far)
    assert TASK_SECONDS["credits"] == 3_600
    said = await maintenance_tasks(snapshots=None, days=None)["credits"].do(database, NOON)
    assert said.endswith(
        "cleared in the future: holds, credits_remaining, cool_downs, leases, probes, org_info, "
        "credits_spent, token_budgets"
    )
