"""Re-encrypts the addresses that messages are sent to, as a part of `key_rotation.rotate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.errors import CredentialError
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

TABLE: Final = "notify_addresses"
PURPOSE: Final = "address"
"""Of the fingerprint by which an address is recognised."""


async def address_usage(database: Database) -> dict[str, int]:
    """Returns by key id the number of encrypted addresses; none where the database is of an earlier release."""
    # address_rotation.exists
    if await database.fetchval("SELECT to_regclass('notify_addresses') IS NULL"):
        return {}
    # address_rotation.usage
    rows = await database.fetch("SELECT key_id, count(*)::int AS rows FROM notify_addresses GROUP BY key_id")
    return {row["key_id"]: row["rows"] for row in rows}


async def rotate_addresses(database: Database, keyring: Keyring) -> tuple[int, list[CredentialError]]:
    """Encrypts the addresses with the first key, and renews their fingerprints.

    Returns how many it changed, and the errors of those that no key decrypts, which stay as they are.
    """
    changed, unopened = 0, []
    async with database.transaction() as connection:
        # address_rotation.read: installations have a few addresses, so one transaction changes them all.
        rows = await connection.fetch(
            "SELECT id, url, key_id FROM notify_addresses WHERE key_id <> $1 ORDER BY id FOR NO KEY UPDATE",
            keyring.current_id,
        )
        for row in rows:
            try:
                url = keyring.decrypt(row["id"], Column.ADDRESS, row["key_id"], row["url"])
            except CredentialError as error:
                unopened.append(error)
                continue
            # address_rotation.write: the same address may have been stored under the first key in the meantime.
            done = await connection.execute(
                """
                UPDATE notify_addresses a SET url = $2, key_id = $3, fingerprint = $4 WHERE id = $1 AND NOT EXISTS (
                    SELECT FROM notify_addresses b WHERE b.rule_id IS NOT DISTINCT FROM a.rule_id AND b.fingerprint = $4
                )
                """,
                row["id"],
                keyring.encrypt(row["id"], Column.ADDRESS, url),
                keyring.current_id,
                keyring.mac(keyring.current_id, PURPOSE, url),
            )
            changed += int(done.removeprefix("UPDATE "))
    return changed, unopened
