"""Access keys in the database: only an HMAC of each key's secret, under a pepper of the encryption key `pepper_id`.

After a rotation of the encryption keys, a key gets a hash under the first one at its next use: only then is its
secret known.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from poller.core.access_key import SECRET_BYTES, AccessKey, ShownKey
from poller.core.callers import Caller, Right
from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Queries, Row

PURPOSE: Final = "access key"


async def insert_key(
    queries: Queries, keyring: Keyring, name: str, *, right: Right, tags: Sequence[str], expires_seconds: int | None
) -> tuple[AccessKey, ShownKey] | None:
    """Stores a new key; returns it with its secret, or None if a key of that name is in use."""
    secret = Secret(secrets.token_hex(SECRET_BYTES))
    pepper_id = keyring.current_id
    # keys.insert: the first condition saves the number of a key that is refused, the second is for two at once.
    rows = await queries.fetch(
        """
        INSERT INTO access_keys (name, hash, pepper_id, may, tags, expires_at)
        SELECT $1, $2, $3, $4, $5, now() + make_interval(secs => $6)
        WHERE NOT EXISTS (SELECT FROM access_keys WHERE name = $1 AND revoked_at IS NULL)
        ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
        RETURNING id, name, may, tags, created_at, expires_at, last_used_at, revoked_at, pepper_id
        """,
        name,
        keyring.mac(pepper_id, PURPOSE, secret),
        pepper_id,
        right.value,
        list(tags),
        expires_seconds,
    )
    return (_key(rows[0]), ShownKey(rows[0]["id"], secret)) if rows else None


async def list_keys(queries: Queries) -> list[AccessKey]:
    """Every key, revoked ones too, the oldest first."""
    # keys.list
    rows = await queries.fetch(
        "SELECT id, name, may, tags, created_at, expires_at, last_used_at, revoked_at, pepper_id"
        " FROM access_keys ORDER BY id"
    )
    return [_key(row) for row in rows]


async def revoke_key(queries: Queries, name: str) -> AccessKey | None:
    """Revokes the key of that name and ends its sessions; None if there is none in use."""
    # keys.revoke
    rows = await queries.fetch(
        """
        WITH revoked AS (
            UPDATE access_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL
            RETURNING id, name, may, tags, created_at, expires_at, last_used_at, revoked_at, pepper_id
        ), ended AS (
            DELETE FROM web_sessions WHERE key_id IN (SELECT id FROM revoked)
        )
        SELECT * FROM revoked
        """,
        name,
    )
    return _key(rows[0]) if rows else None


async def find_caller(queries: Queries, keyring: Keyring, shown: ShownKey) -> Caller | None:
    """The caller whose key is shown; None if it is wrong, expired or revoked. Notes the use once a minute.

    Raises `MissingKeyError` if the encryption key that it is checked with is not in the keyring.
    """
    # keys.find
    rows = await queries.fetch(
        """
        SELECT id, name, hash, pepper_id, may, tags,
               revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS usable,
               last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS unnoted
        FROM access_keys WHERE id = $1
        """,
        shown.key_id,
    )
    row = rows[0] if rows else None
    expected = bytes(32) if row is None else row["hash"]
    found = keyring.mac(keyring.current_id if row is None else row["pepper_id"], PURPOSE, shown.secret)
    if not hmac.compare_digest(found, expected) or row is None or not row["usable"]:
        return None
    if row["unnoted"]:
        # keys.note_use
        await queries.execute(
            "UPDATE access_keys SET last_used_at = now(), hash = $2, pepper_id = $3 WHERE id = $1",
            shown.key_id,
            keyring.mac(keyring.current_id, PURPOSE, shown.secret),
            keyring.current_id,
        )
    return caller_of(row)


async def any_key(queries: Queries) -> bool:
    """Whether any key was ever stored, revoked and expired ones included."""
    # keys.any
    rows = await queries.fetch("SELECT EXISTS (SELECT FROM access_keys)")
    return bool(rows[0][0])


async def any_usable_key(queries: Queries) -> bool:
    """Whether any stored key opens a session now."""
    # keys.any_usable
    rows = await queries.fetch(
        "SELECT EXISTS (SELECT FROM access_keys"
        " WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))"
    )
    return bool(rows[0][0])


async def count_by_pepper(queries: Queries) -> dict[str, int]:
    """By id of encryption key: the number of keys in use that are checked with it."""
    # keys.peppers
    rows = await queries.fetch(
        """
        SELECT pepper_id, count(*)::int AS keys FROM access_keys
        WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) GROUP BY pepper_id ORDER BY pepper_id
        """
    )
    return {row["pepper_id"]: row["keys"] for row in rows}


def caller_of(row: Row) -> Caller:
    """The caller of a row with the columns `id, name, may, tags`."""
    return Caller(row["name"], Right(row["may"]), tuple(row["tags"]), row["id"])


def _key(row: Row) -> AccessKey:
    return AccessKey(
        row["id"],
        row["name"],
        Right(row["may"]),
        tuple(row["tags"]),
        row["created_at"],
        row["expires_at"],
        row["last_used_at"],
        row["revoked_at"],
        row["pepper_id"],
    )
