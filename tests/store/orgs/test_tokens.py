from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from poller.core.secret import Secret
from poller.core.token import ISSUE_WINDOW_SECONDS, ISSUES_PER_WINDOW, Denial, IssuedToken, Lease, LeaseDenied
from poller.store.orgs.token_budgets import delete_expired_budgets
from poller.store.orgs.tokens import TokenStore
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

LEASE_SECONDS = 30.0


def issued(word: str, at: datetime = NOON) -> IssuedToken:
    return IssuedToken(Secret(f"1000.{word}"), "https://www.zohoapis.eu", at, at + timedelta(hours=1))


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def share_one_grant(database: Database, org_ids: list[int]) -> None:
    """Gives orgs the same grant, which was possible before imports refused this."""
    await database.execute(
        """
        UPDATE org_credentials SET grant_fingerprint =
            (SELECT grant_fingerprint FROM org_credentials WHERE org_id = $1)
        WHERE org_id = ANY($2::int[])
        """,
        org_ids[0],
        org_ids,
    )


@pytest.fixture
def tokens(database: Database, keyring: Keyring) -> TokenStore:
    return TokenStore(database, keyring)


@pytest.fixture
async def org_id(database: Database, keyring: Keyring) -> int:
    return (await added(database, keyring, entry("a")))[0]


async def lease(tokens: TokenStore, org_id: int, now: datetime, seen: int = 0) -> tuple[UUID, Lease | LeaseDenied]:
    holder = uuid4()
    return holder, await tokens.acquire_lease(org_id, holder, LEASE_SECONDS, seen, now)


async def test_a_token_saved_under_a_lease_is_read_back(tokens: TokenStore, org_id: int) -> None:
    assert await tokens.read(org_id) is None
    holder, granted = await lease(tokens, org_id, NOON)
    assert granted == Lease(holder, after(LEASE_SECONDS), 0)
    assert await tokens.save(org_id, holder, issued("fresh")) == 1
    stored = await tokens.read(org_id)
    assert stored is not None
    assert (stored.secret, stored.generation) == (Secret("1000.fresh"), 1)
    assert (stored.api_domain, stored.expires_at) == ("https://www.zohoapis.eu", after(3_600))


async def test_of_many_concurrent_workers_one_gets_the_lease_and_one_token_request_is_counted(
    tokens: TokenStore, org_id: int
) -> None:
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(lease(tokens, org_id, NOON)) for _ in range(10)]
    answers = [attempt.result()[1] for attempt in tries]
    assert sum(isinstance(answer, Lease) for answer in answers) == 1
    assert {answer for answer in answers if isinstance(answer, LeaseDenied)} == {
        LeaseDenied(Denial.HELD, after(LEASE_SECONDS))
    }
    assert await tokens.database.fetchval("SELECT cardinality(issued_at) FROM token_budgets") == 1


async def test_a_lease_expires_and_its_late_holder_cannot_save_a_token(tokens: TokenStore, org_id: int) -> None:
    frozen, _ = await lease(tokens, org_id, NOON)
    awake, granted = await lease(tokens, org_id, after(LEASE_SECONDS))
    assert isinstance(granted, Lease)
    assert await tokens.save(org_id, frozen, issued("late")) is None
    await tokens.release(org_id, frozen)
    assert await tokens.save(org_id, awake, issued("good")) == 1


async def test_a_released_lease_is_available_at_once(tokens: TokenStore, org_id: int) -> None:
    holder, _ = await lease(tokens, org_id, NOON)
    await tokens.release(org_id, holder)
    assert isinstance((await lease(tokens, org_id, NOON))[1], Lease)


async def test_a_worker_that_does_not_know_the_newest_token_gets_no_lease_but_is_asked_to_read_it(
    tokens: TokenStore, org_id: int
) -> None:
    holder, _ = await lease(tokens, org_id, NOON)
    await tokens.save(org_id, holder, issued("fresh"))
    assert (await lease(tokens, org_id, NOON, seen=0))[1] == LeaseDenied(Denial.RENEWED, NOON)
    assert isinstance((await lease(tokens, org_id, NOON, seen=1))[1], Lease)


async def test_the_expiry_of_a_token_can_only_be_moved_earlier_and_not_for_its_successor(
    tokens: TokenStore, org_id: int
) -> None:
    holder, _ = await lease(tokens, org_id, NOON)
    await tokens.save(org_id, holder, issued("fresh"))

    async def shortened(generation: int, seconds: float) -> datetime | None:
        await tokens.expire_early(org_id, generation, after(seconds))
        stored = await tokens.read(org_id)
        return None if stored is None else stored.expires_at

    assert await shortened(1, 7_200) == after(3_600)
    assert await shortened(0, 60) == after(3_600)
    assert await shortened(1, 1_800) == after(1_800)
    assert await shortened(1, 2_400) == after(1_800)


async def test_a_cool_down_denies_every_lease_until_its_end_and_is_cleared_by_the_next_token(
    tokens: TokenStore, org_id: int
) -> None:
    holder, _ = await lease(tokens, org_id, NOON)
    await tokens.cool_down(org_id, holder, after(300))
    assert (await lease(tokens, org_id, after(299)))[1] == LeaseDenied(Denial.COOLING, after(300))
    holder, granted = await lease(tokens, org_id, after(300))
    assert granted == Lease(holder, after(300 + LEASE_SECONDS), cool_downs=1)
    await tokens.save(org_id, holder, issued("fresh"))
    _, granted = await lease(tokens, org_id, after(301), seen=1)
    assert isinstance(granted, Lease)
    assert granted.cool_downs == 0


async def test_a_cool_down_reported_by_a_late_holder_does_not_end_the_lease_of_another_worker(
    tokens: TokenStore, org_id: int
) -> None:
    late, _ = await lease(tokens, org_id, NOON)
    holder, _ = await lease(tokens, org_id, after(31))
    await tokens.cool_down(org_id, late, after(100))
    assert await tokens.save(org_id, holder, issued("good")) == 1


async def test_a_cool_down_is_not_shortened_by_a_later_one_that_ends_earlier(tokens: TokenStore, org_id: int) -> None:
    first, _ = await lease(tokens, org_id, NOON)
    second, _ = await lease(tokens, org_id, after(31))
    await tokens.cool_down(org_id, second, after(600))
    await tokens.cool_down(org_id, first, after(100))
    assert (await lease(tokens, org_id, after(101)))[1] == LeaseDenied(Denial.COOLING, after(600))
    await tokens.cool_down(org_id, first, after(700))
    assert (await lease(tokens, org_id, after(601)))[1] == LeaseDenied(Denial.COOLING, after(700))


async def test_a_crash_loop_uses_ten_token_requests_and_then_waits_for_the_window(
    tokens: TokenStore, org_id: int
) -> None:
    window = ISSUE_WINDOW_SECONDS + LEASE_SECONDS
    for number in range(ISSUES_PER_WINDOW):
        holder, granted = await lease(tokens, org_id, after(number))
        assert isinstance(granted, Lease)
        await tokens.release(org_id, holder)
    assert (await lease(tokens, org_id, after(20)))[1] == LeaseDenied(Denial.BUDGET, after(window))
    assert (await lease(tokens, org_id, after(window - 1)))[1] == LeaseDenied(Denial.BUDGET, after(window))
    holder, granted = await lease(tokens, org_id, after(window))
    assert isinstance(granted, Lease)
    await tokens.release(org_id, holder)
    assert (await lease(tokens, org_id, after(window)))[1] == LeaseDenied(Denial.BUDGET, after(window + 1))


async def test_a_lease_denied_for_the_token_budget_is_not_stored(tokens: TokenStore, org_id: int) -> None:
    for _ in range(ISSUES_PER_WINDOW):
        holder, _ = await lease(tokens, org_id, NOON)
        await tokens.release(org_id, holder)
    await lease(tokens, org_id, NOON)
    assert await tokens.database.fetchval("SELECT lease_holder FROM access_tokens") is None


async def test_orgs_with_the_same_grant_share_one_budget(
    tokens: TokenStore, database: Database, keyring: Keyring
) -> None:
    orgs = await added(database, keyring, entry("a"), entry("b"), entry("c"))
    await share_one_grant(database, orgs[:2])
    for number in range(ISSUES_PER_WINDOW):
        holder, granted = await lease(tokens, orgs[number % 2], NOON)
        assert isinstance(granted, Lease)
        await tokens.release(orgs[number % 2], holder)
    for org_id in orgs[:2]:
        denied = (await lease(tokens, org_id, NOON))[1]
        assert isinstance(denied, LeaseDenied)
        assert denied.reason is Denial.BUDGET
    assert isinstance((await lease(tokens, orgs[2], NOON))[1], Lease)


@pytest.mark.parametrize("seed", range(3))
async def test_at_most_ten_token_requests_of_one_grant_are_made_in_any_ten_minutes(
    tokens: TokenStore, database: Database, keyring: Keyring, seed: int
) -> None:
    """Requests reach Zoho at any moment of their lease, and workers crash, race and come back."""
    chance = random.Random(seed)
    orgs = await added(database, keyring, entry("a"), entry("b"), entry("c"))
    await share_one_grant(database, orgs)
    reached: list[float] = []
    clock = 0.0
    for _ in range(150):
        clock += chance.expovariate(1 / 12)
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(lease(tokens, chance.choice(orgs), after(clock))) for _ in range(3)]
        reached += [
            clock + chance.uniform(0, LEASE_SECONDS) for attempt in tries if isinstance(attempt.result()[1], Lease)
        ]
    reached.sort()
    assert len(reached) > ISSUES_PER_WINDOW
    spans = [later - earlier for earlier, later in zip(reached, reached[ISSUES_PER_WINDOW:], strict=False)]
    assert min(spans) >= ISSUE_WINDOW_SECONDS


async def test_an_org_without_credentials_gets_no_lease(tokens: TokenStore) -> None:
    assert await tokens.acquire_lease(77, uuid4(), 30, 0, NOON) == LeaseDenied(Denial.GONE, NOON)


async def test_a_token_moved_to_another_org_does_not_decrypt(
    tokens: TokenStore, database: Database, keyring: Keyring
) -> None:
    first, second = await added(database, keyring, entry("a"), entry("b"))
    holder, _ = await lease(tokens, first, NOON)
    await tokens.save(first, holder, issued("fresh"))
    await database.execute(
        """
        UPDATE access_tokens t SET token = s.token, key_id = s.key_id, api_domain = s.api_domain,
               issued_at = s.issued_at, expires_at = s.expires_at
        FROM access_tokens s WHERE s.org_id = $1 AND t.org_id = $2
        """,
        first,
        second,
    )
    stored = await tokens.read(second)
    assert stored is not None
    assert stored.secret is None


async def test_the_refresh_token_replaces_the_grant_code_and_keeps_its_token_budget(
    tokens: TokenStore, database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, replace(entry("a"), refresh_token=None, grant_code=Secret("1000.code")))
    holder, _ = await lease(tokens, org_id, NOON)
    await tokens.release(org_id, holder)
    await tokens.save_refresh_token(org_id, Secret("1000.code"), Secret("1000.earned"))
    stored = await tokens.read_credentials(org_id)
    assert stored is not None
    assert (stored.refresh_token, stored.grant_code) == (Secret("1000.earned"), None)
    await lease(tokens, org_id, NOON)
    assert await database.fetchval("SELECT array_agg(cardinality(issued_at)) FROM token_budgets") == [2]


async def test_token_budgets_without_recent_requests_are_deleted(
    tokens: TokenStore, org_id: int, database: Database
) -> None:
    await lease(tokens, org_id, NOON)
    assert await delete_expired_budgets(database, after(ISSUE_WINDOW_SECONDS + LEASE_SECONDS)) == 0
    assert await delete_expired_budgets(database, after(3_601)) == 1


async def test_all_processes_together_exchange_at_most_ten_grant_codes_of_a_client_in_ten_minutes(
    tokens: TokenStore,
) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(tokens.reserve_exchange("1000.A", NOON)) for _ in range(25)]
    waits = sorted(task.result() for task in asked)
    assert waits == [0.0] * 10 + [660.0] * 15
    assert await tokens.reserve_exchange("1000.B", NOON) == 0.0
    assert await tokens.reserve_exchange("1000.A", NOON + timedelta(seconds=60)) == 600.0
    assert await tokens.reserve_exchange("1000.A", NOON + timedelta(seconds=660)) == 0.0


async def test_at_most_ten_exchanges_of_a_client_are_made_in_any_ten_minutes(tokens: TokenStore) -> None:
    chance = random.Random(3)
    now, counted = NOON, []
    for _ in range(200):
        wait = await tokens.reserve_exchange("1000.A", now)
        if wait == 0.0:
            counted.append(now)
        else:
            assert await tokens.reserve_exchange("1000.A", now + timedelta(seconds=wait - 1)) > 0.0
        now += timedelta(seconds=chance.uniform(0.0, 120.0))
    assert len(counted) > 50
    assert all(later - earlier >= timedelta(seconds=660) for earlier, later in zip(counted, counted[10:], strict=False))
