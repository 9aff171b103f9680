"""Changing keys while everything runs: what is encrypted with an older key is encrypted anew with the first one.

A few rows at a time, each page in a transaction of its own: it may be stopped and started again at any moment, and a
row that cannot be opened stops it rather than being passed over. It refuses to drop a key: the operator does, once
`key_usage` shows nothing under it and no backup needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.store.credentials import Grant, put_credentials, unseal
from poller.store.secrets import Column

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.store.database import Database
    from poller.store.secrets import Keyring

PAGE: Final = 500


async def key_usage(database: Database) -> dict[str, int]:
    """How many rows are encrypted with each key that any is."""
    # rotation.usage: over both tables that hold ciphertexts.
    rows = await database.fetch(
        """
        SELECT key_id, count(*)::int AS rows
        FROM (SELECT key_id FROM org_credentials UNION ALL
              SELECT key_id FROM access_tokens WHERE key_id IS NOT NULL) AS every
        GROUP BY key_id ORDER BY key_id
        """
    )
    return {row["key_id"]: row["rows"] for row in rows}


async def rotate(database: Database, keyring: Keyring, *, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Encrypt everything with the keyring's first key; how many rows were not yet. `progress` hears how many are."""
    done = 0
    for turn in (_rotate_credentials, _rotate_tokens):
        done = await _every_page(database, keyring, turn, done, progress)
    return done


async def _every_page(
    database: Database,
    keyring: Keyring,
    turn: Callable[[Any, Keyring], Awaitable[int]],
    done: int,
    progress: Callable[[int], None],
) -> int:
    while True:
        async with database.transaction() as connection:
            rows = await turn(connection, keyring)
        done += rows
        progress(done)
        if rows < PAGE:
            return done


async def _rotate_credentials(connection: Any, keyring: Keyring) -> int:
    # rotation.credentials: a page that is under another key, held still meanwhile.
    rows = await connection.fetch(
        """
        SELECT org_id, client_id, client_secret, refresh_token, grant_code, soid, key_id, grant_fingerprint
        FROM org_credentials WHERE key_id <> $1 ORDER BY org_id LIMIT $2 FOR UPDATE
        """,
        keyring.current_id,
        PAGE,
    )
    grants = [Grant(row["org_id"], row["grant_fingerprint"], unseal(keyring, row)) for row in rows]
    await put_credentials(connection, keyring, grants)
    return len(rows)


async def _rotate_tokens(connection: Any, keyring: Keyring) -> int:
    # rotation.tokens: a page that is under another key, held still meanwhile.
    rows = await connection.fetch(
        "SELECT org_id, token, key_id FROM access_tokens WHERE key_id <> $1 ORDER BY org_id LIMIT $2 FOR UPDATE",
        keyring.current_id,
        PAGE,
    )
    opened = [keyring.decrypt(row["org_id"], Column.ACCESS, row["key_id"], row["token"]) for row in rows]
    ids = [row["org_id"] for row in rows]
    sealed = [keyring.encrypt(org_id, Column.ACCESS, token) for org_id, token in zip(ids, opened, strict=True)]
    # rotation.put_tokens
    await connection.execute(
        """
        UPDATE access_tokens t SET token = new.token, key_id = $3
        FROM unnest($1::int[], $2::bytea[]) AS new (org_id, token) WHERE t.org_id = new.org_id
        """,
        ids,
        sealed,
        keyring.current_id,
    )
    return len(rows)
