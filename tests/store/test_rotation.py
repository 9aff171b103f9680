from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from poller.core.errors import CredentialError
from poller.core.secret import Secret
from poller.core.token import IssuedToken
from poller.store import rotation
from poller.store.credentials import read_credentials
from poller.store.rotation import key_usage, rotate
from poller.store.secrets import KEY_BYTES, Keyring
from poller.store.tokens import TokenStore
from tests.store.fleet import NOON, added, entry

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


async def test_after_a_rotation_the_new_key_alone_opens_everything(database: Database) -> None:
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


async def test_a_second_rotation_finds_nothing_to_do(database: Database) -> None:
    await added(database, BEFORE, entry("a"))
    assert await rotate(database, DURING) == 1
    assert await rotate(database, DURING) == 0
    assert await rotate(database, AFTER) == 0


async def test_a_fleet_larger_than_a_page_is_rotated_whole(database: Database) -> None:
    count = rotation.PAGE + 1
    ids = await added(database, BEFORE, *(entry(f"org {number}") for number in range(count)))
    await give_tokens(database, ids[0], ids[-1])
    heard: list[int] = []
    assert await rotate(database, DURING, progress=heard.append) == count + 2
    assert heard == [rotation.PAGE, count, count + 2]
    assert await key_usage(database) == {"k2": count + 2}


async def test_a_row_that_cannot_be_opened_stops_the_rotation_and_keeps_its_page_as_it_was(
    database: Database,
) -> None:
    first, second = await added(database, BEFORE, entry("a"), entry("b"))
    await database.execute("UPDATE org_credentials SET client_secret = '\\x00' WHERE org_id = $1", second)
    with pytest.raises(CredentialError, match=f"org_credentials.client_secret of org {second}"):
        await rotate(database, DURING)
    assert await key_usage(database) == {"k1": 2}
    assert await read_credentials(database, BEFORE, first) is not None
