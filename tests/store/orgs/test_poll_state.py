from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from poller.core.errors import UsageError
from poller.core.health import Parked
from poller.core.model import Org, Outcome
from poller.core.rate_limit import RateLimitState
from poller.core.secret import Secret
from poller.core.token import IssuedToken
from poller.store.orgs import orgs, parking
from poller.store.orgs.credits import spend
from poller.store.orgs.encryption import Keyring
from poller.store.orgs.pollable import PollableOrg, pages_of_active
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.orgs.tokens import TokenStore
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database


async def active(database: Database, named: Sequence[str] | None = None, page: int = 500) -> list[PollableOrg]:
    found = pages_of_active(database, named, now=NOON, api_version="v7", interval_seconds=900, page=page)
    return [org async for orgs_of_page in found for org in orgs_of_page]


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
async def test_every_active_org_is_returned_once_for_any_page_size(
    database: Database, keyring: Keyring, page: int
) -> None:
    await added(database, keyring, *(entry(name) for name in "abcdef"))
    await orgs.pause(database, ["b"], NOON)
    await orgs.remove(database, ["d"], NOON)
    assert [one.org.name for one in await active(database, page=page)] == ["a", "c", "e", "f"]


async def test_named_orgs_are_returned_even_if_paused_and_no_others(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, *(entry(name) for name in "abc"))
    await orgs.pause(database, ["b"], NOON)
    assert [one.org.name for one in await active(database, ["c", "b"])] == ["b", "c"]
    with pytest.raises(UsageError, match="there is no org 'z'"):
        await active(database, ["a", "z"])


async def test_an_empty_list_of_names_returns_no_org(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"))
    assert await active(database, []) == []


async def test_an_org_has_its_own_api_version_and_interval_or_the_defaults(
    database: Database, keyring: Keyring
) -> None:
    own = replace(entry("own"), api_version="v8", poll_interval_seconds=60, edition="free", licences=3)
    first, second = await added(database, keyring, own, entry("default"))
    assert [one.org for one in await active(database)] == [
        Org(first, "own", "eu", "v8", 60, "free", 3),
        Org(second, "default", "eu", "v7", 900),
    ]


async def test_a_new_org_has_no_rate_limit_state_no_spent_credits_and_no_token(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("a"))
    (one,) = await active(database)
    assert (one.parked, one.rate_limit, one.credits_spent, one.credits_remaining) == (None, RateLimitState(), 0, None)
    assert one.token(keyring) is None
    held = one.credentials(keyring)
    assert held is not None
    assert held.refresh_token == entry("a").refresh_token


async def test_a_poll_reads_the_stored_rate_limit_state_credits_and_token(database: Database, keyring: Keyring) -> None:
    org_id, _ = await added(database, keyring, entry("a"), entry("b"))
    tokens, holder = TokenStore(database, keyring), uuid4()
    await tokens.acquire_lease(org_id, holder, 30, 0, NOON)
    await tokens.save(org_id, holder, IssuedToken(Secret("1000.t"), "https://a.example", NOON, NOON))
    taught = RateLimitState(hold_until=NOON.timestamp() + 60, holds=2, rate_factor=0.25)
    await save_limits(database, [RateLimitUpdate(org_id, taught, 123, NOON)])
    await spend(database, {org_id: 10}, NOON - timedelta(hours=23))
    await spend(database, {org_id: 7}, NOON)
    await spend(database, {org_id: 1_000}, NOON - timedelta(days=2))
    await parking.park(database, org_id, "NO_PERMISSION", "mend it", NOON, outcome=Outcome.FORBIDDEN)

    one, other = await active(database)

    assert one.rate_limit == taught
    assert (one.credits_spent, one.credits_remaining, one.credits_remaining_at) == (17, 123, NOON)
    assert one.parked == Parked(NOON, "NO_PERMISSION", "mend it", NOON + timedelta(hours=1), Outcome.FORBIDDEN)
    stored = one.token(keyring)
    assert stored is not None
    assert (stored.secret, stored.generation) == (Secret("1000.t"), 1)
    assert (other.rate_limit, other.credits_spent, other.token(keyring)) == (RateLimitState(), 0, None)


async def test_token_and_credentials_can_be_encrypted_with_different_keys(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    both = Keyring({"k2": bytes(32), "k1": bytes(range(32))})
    tokens, holder = TokenStore(database, both), uuid4()
    await tokens.acquire_lease(org_id, holder, 30, 0, NOON)
    await tokens.save(org_id, holder, IssuedToken(Secret("1000.t"), "https://a.example", NOON, NOON))
    (one,) = await active(database)
    held, stored = one.credentials(both), one.token(both)
    assert held is not None
    assert held.client_secret == entry("a").client_secret
    assert stored is not None
    assert stored.secret == Secret("1000.t")
    without_the_key = one.token(keyring)
    assert without_the_key is not None
    assert (without_the_key.secret, without_the_key.generation) == (None, stored.generation)


async def test_the_repr_of_an_org_to_poll_shows_no_ciphertext(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"))
    (one,) = await active(database)
    assert "client_secret" not in repr(one)
    assert "1000." not in repr(one)


async def test_an_org_parked_by_an_earlier_release_has_the_outcome_its_code_suggests(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    await parking.park(database, org_id, "NO_PERMISSION", "mend it", NOON, outcome=Outcome.UNAUTHORIZED)
    (stored,) = await active(database)
    await database.execute("UPDATE orgs SET parked_outcome = NULL")
    (derived,) = await active(database)
    assert stored.parked is not None
    assert derived.parked is not None
    assert (stored.parked.outcome, derived.parked.outcome) == (Outcome.UNAUTHORIZED, Outcome.FORBIDDEN)
