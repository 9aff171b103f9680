"""Reads and writes the credentials of orgs, which are encrypted in the database.

All ciphertexts of a row are encrypted with one key, which the row names; so every write replaces all of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from poller.core.token import Credentials
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.core.org_entry import OrgEntry
    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Row


@dataclass(frozen=True, slots=True)
class Grant:
    """An org's credentials, with the fingerprint that identifies their grant."""

    org_id: int
    fingerprint: bytes
    credentials: Credentials

    @classmethod
    def of_entry(cls, org_id: int, entry: OrgEntry) -> Self:
        """The credentials of an entry that an operator wrote."""
        credentials = Credentials(
            entry.client_id, entry.client_secret, entry.refresh_token, entry.grant_code, entry.soid
        )
        return cls(org_id, fingerprint(entry), credentials)

    def exchanged(self, refresh_token: Secret) -> Grant:
        """Returns the same grant, hence with its fingerprint, with a refresh token in place of the grant code."""
        return replace(self, credentials=replace(self.credentials, refresh_token=refresh_token, grant_code=None))


def fingerprint(entry: OrgEntry) -> bytes:
    """Returns a hash that identifies the grant of an entry and hides it: grants are long and random.

    A `grant_code` keeps its fingerprint after it is exchanged, so that importing the same file again changes nothing.
    """
    grants = {"refresh_token": entry.refresh_token, "grant_code": entry.grant_code}
    form, grant = next(((form, secret.reveal()) for form, secret in grants.items() if secret), ("soid", entry.soid))
    return hashlib.sha256("\0".join((entry.client_id, form, grant or "")).encode()).digest()


async def read_credentials(database: Database, keyring: Keyring, org_id: int) -> Credentials | None:
    """Returns an org's credentials, or None; raises `CredentialError` if no key of this process decrypts them."""
    # credentials.read: of one org.
    row = await database.fetchrow(
        """
        SELECT org_id, client_id, client_secret, refresh_token, grant_code, soid, key_id
        FROM org_credentials WHERE org_id = $1
        """,
        org_id,
    )
    return None if row is None else decrypt_credentials(keyring, row)


async def save_refresh_token(
    database: Database, keyring: Keyring, org_id: int, grant_code: Secret, refresh_token: Secret
) -> None:
    """Replaces a grant code by the refresh token it was exchanged for, unless the org now has another code."""
    async with database.transaction() as connection:
        # credentials.lock: locked, so that no import changes them at the same time.
        row = await connection.fetchrow(
            """
            SELECT org_id, client_id, client_secret, refresh_token, grant_code, soid, key_id, grant_fingerprint
            FROM org_credentials WHERE org_id = $1 FOR UPDATE
            """,
            org_id,
        )
        if row is not None:
            grant = Grant(org_id, row["grant_fingerprint"], decrypt_credentials(keyring, row))
            if grant.credentials.grant_code == grant_code:
                await put_credentials(connection, keyring, [grant.exchanged(refresh_token)])


async def crowded_clients(database: Database, at_least: int = 15) -> list[tuple[str, int]]:
    """Returns clients with `at_least` refresh tokens and their number, the largest first.

    Zoho keeps 20 refresh tokens per client and user, and the 21st invalidates the oldest. The user who gave consent is
    not known here, so this is a reason to warn, not to refuse.
    """
    # credentials.crowded: grants per client; one grant may serve several orgs.
    rows = await database.fetch(
        """
        SELECT client_id, count(DISTINCT grant_fingerprint)::int AS grants
        FROM org_credentials WHERE soid IS NULL
        GROUP BY client_id HAVING count(DISTINCT grant_fingerprint) >= $1
        ORDER BY grants DESC, client_id
        """,
        at_least,
    )
    return [(row["client_id"], row["grants"]) for row in rows]


async def waiting_grant_codes(database: Database, names: Sequence[str] | None = None) -> list[int]:
    """Returns the ids of orgs whose grant code is not exchanged yet, the oldest import first: codes expire soon."""
    # credentials.waiting: no refresh token yet.
    rows = await database.fetch(
        """
        SELECT o.id FROM orgs o JOIN org_credentials c ON c.org_id = o.id
        WHERE o.removed_at IS NULL AND c.grant_code IS NOT NULL AND c.refresh_token IS NULL
          AND ($1::text[] IS NULL OR o.name = ANY($1))
        ORDER BY c.updated_at, o.id
        """,
        names,
    )
    return [row["id"] for row in rows]


async def codes_to_exchange(database: Database, entries: Iterable[OrgEntry]) -> dict[str, int]:
    """Returns by client the number of grant codes of these entries that are not exchanged yet."""
    given = {fingerprint(entry): entry.client_id for entry in entries if entry.grant_code is not None}
    # credentials.exchanged: the grants with a refresh token.
    rows = await database.fetch(
        """
        SELECT grant_fingerprint FROM org_credentials
        WHERE grant_fingerprint = ANY($1::bytea[]) AND refresh_token IS NOT NULL
        """,
        list(given),
    )
    exchanged = {row["grant_fingerprint"] for row in rows}
    return dict(Counter(client_id for grant, client_id in given.items() if grant not in exchanged))


async def waiting_codes_by_client(database: Database, names: Sequence[str] | None = None) -> dict[str, int]:
    """Returns by client the number of grant codes of these orgs that are not exchanged yet."""
    # credentials.waiting_by_client
    rows = await database.fetch(
        """
        SELECT c.client_id, count(*)::int AS codes FROM orgs o JOIN org_credentials c ON c.org_id = o.id
        WHERE o.removed_at IS NULL AND c.grant_code IS NOT NULL AND c.refresh_token IS NULL
          AND ($1::text[] IS NULL OR o.name = ANY($1))
        GROUP BY c.client_id
        """,
        names,
    )
    return {row["client_id"]: row["codes"] for row in rows}


async def put_credentials(connection: Connection, keyring: Keyring, grants: Sequence[Grant]) -> None:
    """Replaces the credentials of these orgs, encrypted with the keyring's first key."""
    if not grants:
        return

    stored = [grant.credentials for grant in grants]
    # credentials.put: of many orgs at once.
    await connection.execute(
        """
        INSERT INTO org_credentials
            (org_id, client_id, client_secret, refresh_token, grant_code, soid, grant_fingerprint, key_id)
        SELECT new.*, $8
        FROM unnest($1::int[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[], $7::bytea[]) AS new
        ON CONFLICT (org_id) DO UPDATE SET
            client_id = excluded.client_id, client_secret = excluded.client_secret,
            refresh_token = excluded.refresh_token, grant_code = excluded.grant_code, soid = excluded.soid,
            grant_fingerprint = excluded.grant_fingerprint, key_id = excluded.key_id, updated_at = now()
        """,
        [grant.org_id for grant in grants],
        [credentials.client_id for credentials in stored],
        *_encrypted(keyring, grants),
        [credentials.soid for credentials in stored],
        [grant.fingerprint for grant in grants],
        keyring.current_id,
    )


async def reencrypt_credentials(connection: Connection, keyring: Keyring, grants: Sequence[Grant]) -> None:
    """Stores the same credentials, encrypted with the keyring's first key; nothing else about them changes."""
    # credentials.reencrypt: of many orgs at once.
    await connection.execute(
        """
        UPDATE org_credentials c SET client_secret = new.client_secret, refresh_token = new.refresh_token,
                                     grant_code = new.grant_code, key_id = $5
        FROM unnest($1::int[], $2::bytea[], $3::bytea[], $4::bytea[])
             AS new (org_id, client_secret, refresh_token, grant_code)
        WHERE c.org_id = new.org_id
        """,
        [grant.org_id for grant in grants],
        *_encrypted(keyring, grants),
        keyring.current_id,
    )


def _encrypted(keyring: Keyring, grants: Sequence[Grant]) -> tuple[list[bytes | None], ...]:
    """Encrypts client secrets, refresh tokens and grant codes, in the order of the columns."""

    def encrypted(column: Column, secrets: Iterable[Secret | None]) -> list[bytes | None]:
        pairs = zip(grants, secrets, strict=True)
        return [keyring.encrypt(grant.org_id, column, secret) if secret else None for grant, secret in pairs]

    stored = [grant.credentials for grant in grants]
    return (
        encrypted(Column.CLIENT, (credentials.client_secret for credentials in stored)),
        encrypted(Column.REFRESH, (credentials.refresh_token for credentials in stored)),
        encrypted(Column.CODE, (credentials.grant_code for credentials in stored)),
    )


def decrypt_credentials(keyring: Keyring, row: Row) -> Credentials:
    """Decrypts the credentials of a row of `org_credentials`."""

    def decrypted(column: Column, ciphertext: bytes | None) -> Secret | None:
        return None if ciphertext is None else keyring.decrypt(row["org_id"], column, row["key_id"], ciphertext)

    return Credentials(
        client_id=row["client_id"],
        client_secret=keyring.decrypt(row["org_id"], Column.CLIENT, row["key_id"], row["client_secret"]),
        refresh_token=decrypted(Column.REFRESH, row["refresh_token"]),
        grant_code=decrypted(Column.CODE, row["grant_code"]),
        soid=row["soid"],
    )
