from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from poller.core.rate_limit import RateLimitState
from poller.store.orgs.orgs import purge
from poller.store.orgs.pollable import pages_of_active
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

HOLD = NOON.timestamp() + 600


async def quota_of(database: Database) -> RateLimitState:
    found = pages_of_active(database, None, now=NOON, api_version="v7", interval_seconds=900)
    (state,) = [one.rate_limit async for page in found for one in page]
    return state


async def test_a_hold_is_never_shortened_by_a_worker_that_does_not_know_it(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    await save_limits(
        database, [RateLimitUpdate(org_id, RateLimitState(hold_until=HOLD, holds=1, rate_factor=0.5), None, NOON)]
    )
    await save_limits(
        database, [RateLimitUpdate(org_id, RateLimitState(hold_until=HOLD - 60, holds=1, rate_factor=0.5), None, NOON)]
    )
    await save_limits(database, [RateLimitUpdate(org_id, RateLimitState(), None, NOON)])
    assert (await quota_of(database)).hold_until == HOLD


async def test_the_latest_state_raises_the_stored_rate(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    for factor in (0.5, 0.625, 1.0):
        await save_limits(database, [RateLimitUpdate(org_id, RateLimitState(holds=0, rate_factor=factor), None, NOON)])
        assert await quota_of(database) == RateLimitState(rate_factor=factor)


async def test_the_remaining_credits_are_kept_until_zoho_reports_them_again(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    later = NOON + timedelta(hours=1)
    for remaining, at in ((4_000, NOON), (None, later)):
        await save_limits(database, [RateLimitUpdate(org_id, RateLimitState(), remaining, at)])
        row = await database.fetchrow("SELECT credits_remaining, credits_remaining_at FROM org_limits")
        assert tuple(row or ()) == (4_000, NOON)
    await save_limits(database, [RateLimitUpdate(org_id, RateLimitState(), 0, later)])
    row = await database.fetchrow("SELECT credits_remaining, credits_remaining_at FROM org_limits")
    assert tuple(row or ()) == (0, later)


async def test_rate_limit_states_of_many_orgs_are_stored_together_except_purged_orgs(
    database: Database, keyring: Keyring
) -> None:
    gone, *kept = await added(database, keyring, *(entry(name) for name in "abc"))
    await purge(database, ["a"])
    await save_limits(
        database, [RateLimitUpdate(org_id, RateLimitState(rate_factor=0.5), None, NOON) for org_id in (*kept, gone)]
    )
    assert await database.fetchval("SELECT array_agg(org_id ORDER BY org_id) FROM org_limits") == sorted(kept)
