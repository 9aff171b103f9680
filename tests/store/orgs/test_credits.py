from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from poller.store.orgs.credits import correct, delete_expired_credits, spend, spent
from poller.store.orgs.orgs import purge
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def test_credits_spent_by_several_workers_are_added_up(database: Database, keyring: Keyring) -> None:
    one, other, idle = await added(database, keyring, entry("a"), entry("b"), entry("c"))
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(spend(database, {other: 3, one: 10}, NOON))
            group.create_task(spend(database, {one: 1, other: 0}, NOON))
    assert await spent(database, [one, other, idle], NOON) == {one: 88, other: 24, idle: 0}


async def test_reserved_credits_are_corrected_up_or_down_but_never_below_0(
    database: Database, keyring: Keyring
) -> None:
    one, other, more, idle = await added(database, keyring, *map(entry, "abcd"))
    await spend(database, {one: 10, other: 10, more: 10}, NOON)
    await correct(database, {one: -8, other: -20, more: 7, idle: 5}, NOON + timedelta(minutes=1))
    await correct(database, {one: -1}, NOON - timedelta(hours=1))
    assert await spent(database, [one, other, more, idle], NOON) == {one: 2, other: 0, more: 17, idle: 0}


@pytest.mark.parametrize("seed", range(3))
async def test_credits_count_for_a_full_day_and_at_most_a_quarter_of_an_hour_longer(
    database: Database, keyring: Keyring, seed: int
) -> None:
    chance = random.Random(seed)
    (org_id,) = await added(database, keyring, entry("a"))
    log = [(NOON + timedelta(seconds=chance.uniform(0, 3 * 86_400)), chance.randint(1, 50)) for _ in range(60)]
    for at, amount in log:
        await spend(database, {org_id: amount}, at)
    for _ in range(40):
        now = NOON + timedelta(seconds=chance.uniform(86_400, 4 * 86_400))
        day, quarter = timedelta(days=1), timedelta(minutes=15)
        least = sum(amount for at, amount in log if at > now - day)
        most = sum(amount for at, amount in log if at > now - day - quarter)
        assert least <= (await spent(database, [org_id], now))[org_id] <= most
    now = NOON + timedelta(days=3)
    before = await spent(database, [org_id], now)
    assert await delete_expired_credits(database, now) > 0
    assert await spent(database, [org_id], now) == before
    assert await delete_expired_credits(database, now + timedelta(days=3)) > 0
    assert await database.fetchval("SELECT count(*) FROM credit_spend") == 0


async def test_credits_of_an_org_purged_during_the_poll_are_ignored(database: Database, keyring: Keyring) -> None:
    gone, kept = await added(database, keyring, entry("a"), entry("b"))
    await purge(database, ["a"])
    await spend(database, {gone: 10, kept: 10}, NOON)
    assert await spent(database, [gone, kept], NOON) == {gone: 0, kept: 10}
