from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.core.errors import CredentialError
from poller.store.orgs.encryption import KEY_BYTES, Column, Keyring
from poller.store.orgs.key_rotation import key_usage, rotate
from poller.store.queue.addresses import default_addresses, delete_other_defaults, list_addresses, set_addresses
from tests.notify.receivers import secret_url

if TYPE_CHECKING:
    from poller.core.secret import Secret
    from poller.store.database import Database

OLD, NEW = bytes(range(KEY_BYTES)), bytes(range(1, KEY_BYTES + 1))
BEFORE, BOTH, AFTER = Keyring({"k1": OLD}), Keyring({"k2": NEW, "k1": OLD}), Keyring({"k2": NEW})
MAIL = secret_url("mailtos://user:long-password-1@mail.example")
CHAT = secret_url("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
HOOK = secret_url("webhook+https://host.example/hook-with-a-token")


async def stored(database: Database, keyring: Keyring) -> list[Secret]:
    rows = await database.fetch("SELECT id, url, key_id FROM notify_addresses ORDER BY id")
    return [keyring.decrypt(row["id"], Column.ADDRESS, row["key_id"], row["url"]) for row in rows]


async def set_for(database: Database, rule_id: int, urls: list[Secret], keyring: Keyring = BEFORE) -> None:
    async with database.transaction() as connection:
        await set_addresses(connection, rule_id, urls, keyring)


async def test_addresses_of_a_rule_are_replaced_and_those_that_stay_keep_their_row(database: Database) -> None:
    await set_for(database, 1, [MAIL, CHAT, MAIL])
    first = await list_addresses(database, [1])
    assert [address.masked for address in first] == ["mailtos://…", "slack://…"]
    await set_for(database, 2, [MAIL])
    await set_for(database, 1, [CHAT, HOOK])
    second = await list_addresses(database, [1])
    assert [address.masked for address in second] == ["slack://…", "webhook+https://…"]
    assert second[0] == first[1]
    assert len(await list_addresses(database)) == 3
    await set_for(database, 1, [])
    assert [address.rule_id for address in await list_addresses(database)] == [2]


async def test_addresses_of_the_setting_are_stored_once_and_deleted_when_they_are_not_set(database: Database) -> None:
    async with database.transaction() as connection:
        first = await default_addresses(connection, [MAIL, CHAT, MAIL], BEFORE)
        assert await default_addresses(connection, [MAIL, CHAT], BEFORE) == first
        assert await delete_other_defaults(connection, [CHAT], BEFORE) == 1
    assert await stored(database, BEFORE) == [CHAT]
    assert await list_addresses(database) == []


async def test_an_address_is_stored_encrypted_and_bound_to_its_row(database: Database) -> None:
    await set_for(database, 1, [MAIL, CHAT])
    rows = await database.fetch("SELECT * FROM notify_addresses ORDER BY id")
    assert not any(part in repr([dict(row) for row in rows]) for part in ("mail.example", "TIiajkd", "password"))
    with pytest.raises(CredentialError, match=r"address [0-9]+ does not decrypt"):
        BEFORE.decrypt(rows[0]["id"], Column.ADDRESS, "k1", rows[1]["url"])


async def test_a_rotation_moves_addresses_to_the_first_key_and_they_are_recognised_afterwards(
    database: Database,
) -> None:
    await set_for(database, 1, [MAIL, CHAT])
    ids = [address.id for address in await list_addresses(database)]
    assert await key_usage(database) == {"k1": 2}
    # An address that is set again between the two is recognised under the old key.
    await set_for(database, 1, [MAIL, CHAT], BOTH)
    assert await rotate(database, BOTH) == 2
    assert await key_usage(database) == {"k2": 2}
    assert await stored(database, AFTER) == [MAIL, CHAT]
    await set_for(database, 1, [MAIL, CHAT], AFTER)
    assert [address.id for address in await list_addresses(database)] == ids


async def test_a_rotation_reports_addresses_that_no_key_decrypts_and_keeps_them(database: Database) -> None:
    await set_for(database, 1, [MAIL])
    with pytest.raises(CredentialError, match="of address") as caught:
        await rotate(database, AFTER)
    assert "set the address again" in caught.value.remedy
    assert await stored(database, BEFORE) == [MAIL]
