from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from poller.core.errors import CredentialError
from poller.core.secret import Secret
from poller.core.token import IssuedToken, Lease
from poller.store.orgs import key_rotation
from poller.store.orgs.credentials import read_credentials
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.orgs.key_rotation import UnopenedKey, key_usage, rotate, unopened_keys
from poller.store.orgs.tokens import TokenStore
from tests.store.fleet import NOON, added, entry
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from poller.store.database import Database

OLD, NEW = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)
BEFORE, DURING, AFTER = Keyring({"k1": OLD}), Keyring({"k2": NEW, "k1": OLD}), Keyring({"k2": NEW})


async def give_tokens(database: Database, *org_ids: int) -> None:
    tokens = TokenStore(database, BEFORE)
    for org_id in org_ids:
        holder = uuid4()
        await tokens.acquire_lease(org_id, holder, 30, 0, NOON)
        await tokens.save(org_id, holder, IssuedToken(Secret(f"1000.{org_id}"), "https://a.example", NOON, NOON))


async def key_usage_is(database: Database, expected: dict[str, int]) -> bool:
    return await key_usage(database) == expected


async def test_after_a_rotation_the_new_key_alone_decrypts_everything(database: Database) -> None:
    with_code = replace(entry("code"), refresh_token=None, grant_code=Secret("1000.code"))
    with_soid = replace(entry("soid"), refresh_token=None, soid="ZohoCRM.1")
    ids = await added(database, BEFORE, entry("a"), with_code, with_soid)
    await give_tokens(database, ids[0])
    assert await key_usage(database) == {"k1": 4}

    assert await rotate(database, DURING) == 4

    assert await key_usage(database) == {"k2": 4}
    for org_id, written in zip(ids, (entry("a"), with_code, with_soid), strict=True):
        stored = await read_credentials(database, AFTER, org_id)
        assert stored is not None
        assert stored.client_secret == written.client_secret
        assert stored.refresh_token == written.refresh_token
        assert stored.grant_code == written.grant_code
    token = await TokenStore(database, AFTER).read(ids[0])
    assert token is not None
    assert token.secret == Secret(f"1000.{ids[0]}")


async def test_a_second_rotation_changes_nothing(database: Database) -> None:
    await added(database, BEFORE, entry("a"))
    assert await rotate(database, DURING) == 1
    assert await rotate(database, DURING) == 0
    assert await rotate(database, AFTER) == 0


async def test_a_fleet_larger_than_a_page_is_rotated_completely(database: Database) -> None:
    count = key_rotation.PAGE + 1
    ids = await added(database, BEFORE, *(entry(f"org {number}") for number in range(count)))
    await give_tokens(database, ids[0], ids[-1])
    heard: list[int] = []
    assert await rotate(database, DURING, progress=heard.append) == count + 2
    assert heard == [key_rotation.PAGE, count, count + 2]
    assert await key_usage(database) == {"k2": count + 2}


async def test_credentials_that_cannot_be_decrypted_are_reported_and_left_as_they_are_while_all_others_are_rotated(
    database: Database,
) -> None:
    first, second, third = await added(database, BEFORE, entry("a"), entry("b"), entry("c"))
    await database.execute("UPDATE org_credentials SET client_secret = '\\x00' WHERE org_id = $1", second)
    with pytest.raises(CredentialError, match=f"org_credentials.client_secret of org {second}"):
        await rotate(database, DURING)
    assert await key_usage(database) == {"k1": 1, "k2": 2}
    for org_id in (first, third):
        assert await read_credentials(database, AFTER, org_id) is not None


async def test_an_access_token_that_cannot_be_decrypted_is_dropped_by_a_rotation_since_a_poll_renews_it(
    database: Database,
) -> None:
    (org_id,) = await added(database, BEFORE, entry("a"))
    await give_tokens(database, org_id)
    await database.execute("UPDATE access_tokens SET key_id = 'k0'")
    assert await rotate(database, DURING) == 2
    assert await key_usage(database) == {"k2": 1}
    lease = await TokenStore(database, AFTER).acquire_lease(org_id, uuid4(), 30, 0, NOON + timedelta(hours=1))
    assert isinstance(lease, Lease)


async def test_a_rotation_skips_a_locked_row_and_returns_to_it_later(database: Database) -> None:
    ids = await added(database, BEFORE, *(entry(name) for name in "abc"))
    rotating: asyncio.Task[int] | None = None
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM org_credentials WHERE org_id = $1 FOR UPDATE", ids[1])
        rotating = asyncio.create_task(rotate(database, DURING))
        await eventually(lambda: key_usage_is(database, {"k1": 1, "k2": 2}))
    assert await rotating == 3
    assert await key_usage(database) == {"k2": 3}


async def test_keys_that_cannot_decrypt_rows_in_use_are_named_whether_missing_or_different(
    database: Database,
) -> None:
    ids = await added(database, BEFORE, entry("a"), entry("b"), entry("c"))
    assert await unopened_keys(database, BEFORE) == []
    assert await unopened_keys(database, DURING) == []
    assert await unopened_keys(database, AFTER) == [UnopenedKey("k1", 3, wrong=False)]
    assert await unopened_keys(database, Keyring({"k1": NEW})) == [UnopenedKey("k1", 3, wrong=True)]
    await database.execute("UPDATE org_credentials SET client_secret = '\\x00' WHERE org_id = $1", ids[0])
    assert await unopened_keys(database, BEFORE) == []
    await database.execute("UPDATE orgs SET paused_at = now()")
    assert await unopened_keys(database, AFTER) == []
