"""Encryption keys: shows which are in use and whether this process has them, and re-encrypts rows with the first key.

Rotation runs while workers run, with old and new keys. It re-encrypts a page of rows at a time, each page in its own
transaction, and never waits for a row that another process has locked. It can be stopped and started again at any time.
It deletes an access token that no key decrypts, since the next poll requests a new one; it keeps credentials and
addresses that no key decrypts, and reports them at the end. It removes no key: the operator does, once `key_usage`
shows no row with the key and no backup needs it.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.core.errors import CredentialError
from poller.store.orgs import address_rotation
from poller.store.orgs.credentials import Grant, decrypt_credentials, reencrypt_credentials
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Row

PAGE: Final = 500
TABLES: Final = ("org_credentials", "access_tokens", address_rotation.TABLE)
"""The tables with ciphertexts; their column `key_id` names the key."""
_SAMPLE: Final = 20
_PAUSE_SECONDS: Final = 0.2
_TOKEN_PASSES: Final = 2
"""Workers with another first key keep writing tokens with it, so rotation stops after two passes over the tokens."""


@dataclass(frozen=True, slots=True)
class UnopenedKey:
    """A key in use that this process lacks or has with other bytes (`wrong`), and the number of orgs that need it."""

    key_id: str
    orgs: int
    wrong: bool


async def key_usage_by_table(database: Database) -> dict[str, Mapping[str, int]]:
    """Returns by key id the number of encrypted rows in each table; keys without rows are left out."""
    # key_rotation.usage
    rows = await database.fetch(
        """
        SELECT 'org_credentials' AS name, key_id, count(*)::int AS rows FROM org_credentials GROUP BY key_id
        UNION ALL
        SELECT 'access_tokens', key_id, count(*)::int FROM access_tokens WHERE key_id IS NOT NULL GROUP BY key_id
        """
    )
    usage: dict[str, dict[str, int]] = {}
    for row in rows:
        usage.setdefault(row["key_id"], dict.fromkeys(TABLES, 0))[row["name"]] = row["rows"]
    for key_id, addresses in (await address_rotation.address_usage(database)).items():
        usage.setdefault(key_id, dict.fromkeys(TABLES, 0))[address_rotation.TABLE] = addresses
    return dict(sorted(usage.items()))


async def key_usage(database: Database) -> dict[str, int]:
    """Returns by key id the number of encrypted rows; keys without rows are left out."""
    return {key_id: sum(tables.values()) for key_id, tables in (await key_usage_by_table(database)).items()}


async def unopened_keys(database: Database, keyring: Keyring) -> list[UnopenedKey]:
    """Returns the keys of active orgs' credentials that this process lacks or has with other bytes.

    A key is wrong if it decrypts none of a sample of rows; a single row that does not decrypt is damaged.
    """
    # key_rotation.in_use: the number of active orgs and a sample of them, by key.
    rows = await database.fetch(
        """
        SELECT key_id, count(*)::int AS orgs, (array_agg(c.org_id ORDER BY c.org_id DESC))[:$1] AS sample
        FROM org_credentials c JOIN orgs o ON o.id = c.org_id
        WHERE o.removed_at IS NULL AND o.paused_at IS NULL
        GROUP BY key_id ORDER BY key_id
        """,
        _SAMPLE,
    )
    found: list[UnopenedKey] = []
    for row in rows:
        if row["key_id"] not in keyring.ids:
            found.append(UnopenedKey(row["key_id"], row["orgs"], wrong=False))
        elif not await _decrypts_any(database, keyring, row["sample"]):
            found.append(UnopenedKey(row["key_id"], row["orgs"], wrong=True))
    return found


async def _decrypts_any(database: Database, keyring: Keyring, org_ids: list[int]) -> bool:
    # key_rotation.sample
    rows = await database.fetch(
        "SELECT org_id, client_secret, key_id FROM org_credentials WHERE org_id = ANY($1::int[])", org_ids
    )
    return not rows or any(_decrypts(keyring, Column.CLIENT, row, "client_secret") for row in rows)


def _decrypts(keyring: Keyring, column: Column, row: Row, name: str) -> bool:
    try:
        keyring.decrypt(row["org_id"], column, row["key_id"], row[name])
    except CredentialError:
        return False
    return True


async def rotate(database: Database, keyring: Keyring, *, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Encrypts all rows with the keyring's first key; returns how many it changed. Calls `progress` with that number.

    Raises `CredentialError` for the first row of credentials or addresses that does not decrypt, once all others are
    done.
    """
    run = _RotationRun(database, keyring, progress)
    await run.all_pages("org_credentials", _rotate_credentials)
    await run.all_pages("access_tokens", _rotate_tokens, passes=_TOKEN_PASSES)
    changed, unopened_addresses = await address_rotation.rotate_addresses(database, keyring)
    if changed:
        run.done += changed
        progress(run.done)
    if unopened := [*run.unopened.values(), *unopened_addresses]:
        first = unopened[0]
        kind = "rows" if unopened_addresses else "orgs' credentials"
        others = f" (and so are {len(unopened) - 1} more {kind})" if len(unopened) > 1 else ""
        raise CredentialError(f"{first.what}{others}; {run.done:,} rows are re-encrypted", first.remedy) from first
    return run.done


@dataclass(slots=True)
class _RotationRun:
    """One run of `rotate`."""

    database: Database
    keyring: Keyring
    progress: Callable[[int], None]
    done: int = 0
    unopened: dict[int, CredentialError] = field(default_factory=dict)
    """By org id: why its credentials do not decrypt."""

    async def all_pages(
        self,
        table: str,
        rotate_page: Callable[[Connection, _RotationRun, int], Awaitable[list[int]]],
        *,
        passes: float = math.inf,
    ) -> None:
        """Rotates the table in pages by org id, then repeats for rows that other processes had locked."""
        after, done = 0, 0
        while True:
            async with self.database.transaction() as connection:
                ids = await rotate_page(connection, self, after)
            if ids:
                after = ids[-1]
                self.done += sum(org_id not in self.unopened for org_id in ids)
                self.progress(self.done)
            if len(ids) < PAGE:
                done += 1
                if done >= passes or not await self._left(table):
                    return
                after = 0
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _left(self, table: str) -> bool:
        # key_rotation.left: rows that were locked, or written by a worker with another first key.
        return bool(
            await self.database.fetchval(
                f"SELECT EXISTS (SELECT FROM {table} WHERE key_id <> $1 AND NOT org_id = ANY($2::int[]))",  # noqa: S608
                self.keyring.current_id,
                list(self.unopened),
            )
        )


async def _rotate_credentials(connection: Connection, run: _RotationRun, after: int) -> list[int]:
    # key_rotation.credentials: a page of rows with another key, locked until they are written.
    rows = await connection.fetch(
        """
        SELECT org_id, client_id, client_secret, refresh_token, grant_code, soid, key_id, grant_fingerprint
        FROM org_credentials WHERE key_id <> $1 AND org_id > $2 AND NOT org_id = ANY($3::int[])
        ORDER BY org_id LIMIT $4 FOR UPDATE SKIP LOCKED
        """,
        run.keyring.current_id,
        after,
        list(run.unopened),
        PAGE,
    )
    grants: list[Grant] = []
    for row in rows:
        try:
            grants.append(Grant(row["org_id"], row["grant_fingerprint"], decrypt_credentials(run.keyring, row)))
        except CredentialError as unopened:
            run.unopened[row["org_id"]] = unopened
    await reencrypt_credentials(connection, run.keyring, grants)
    return [row["org_id"] for row in rows]


async def _rotate_tokens(connection: Connection, run: _RotationRun, after: int) -> list[int]:
    # key_rotation.tokens: a page of rows with another key, locked until they are written.
    rows = await connection.fetch(
        """
        SELECT org_id, token, key_id FROM access_tokens WHERE key_id <> $1 AND org_id > $2
        ORDER BY org_id LIMIT $3 FOR UPDATE SKIP LOCKED
        """,
        run.keyring.current_id,
        after,
        PAGE,
    )
    ids, ciphertexts = [row["org_id"] for row in rows], [_reencrypted(run.keyring, row) for row in rows]
    # key_rotation.put_tokens: deletes tokens that do not decrypt, and keeps the generation.
    await connection.execute(
        """
        UPDATE access_tokens t SET token = new.token, key_id = CASE WHEN new.token IS NOT NULL THEN $3 END,
            api_domain = CASE WHEN new.token IS NOT NULL THEN api_domain END,
            issued_at = CASE WHEN new.token IS NOT NULL THEN issued_at END,
            expires_at = CASE WHEN new.token IS NOT NULL THEN expires_at END
        FROM unnest($1::int[], $2::bytea[]) AS new (org_id, token) WHERE t.org_id = new.org_id
        """,
        ids,
        ciphertexts,
        run.keyring.current_id,
    )
    return ids


def _reencrypted(keyring: Keyring, row: Row) -> bytes | None:
    try:
        token = keyring.decrypt(row["org_id"], Column.ACCESS, row["key_id"], row["token"])
    except CredentialError:
        return None
    return keyring.encrypt(row["org_id"], Column.ACCESS, token)
