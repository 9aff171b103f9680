"""Access tokens shared by the whole fleet: `TokenStore` is what `zoho.tokens` keeps them in.

A lease is one statement, and so is its budget: whatever dies afterwards, an issue was counted before Zoho was asked.
No lock and no transaction outlives a statement. Times are the caller's `now`, so that tests turn the clock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from poller.core.errors import CredentialError
from poller.core.model import Outcome
from poller.core.token import (
    CODE_LIFE_SECONDS,
    CODE_WINDOW_SECONDS,
    CODES_PER_WINDOW,
    ISSUE_WINDOW_SECONDS,
    ISSUES_PER_WINDOW,
    Credentials,
    Denial,
    IssuedToken,
    Lease,
    LeaseDenied,
    StoredToken,
)
from poller.store.orgs import credentials, orgs
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from poller.core.secret import Secret
    from poller.core.token import ParkReason
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Record


@dataclass(frozen=True, slots=True)
class TokenStore:
    """The ports of `core.token`, over PostgreSQL. Its methods are passed on one by one."""

    database: Database
    keyring: Keyring

    async def read_credentials(self, org_id: int) -> Credentials | None:
        """An org's credentials, or None where it has none."""
        return await credentials.read_credentials(self.database, self.keyring, org_id)

    async def read(self, org_id: int) -> StoredToken | None:
        """The newest token saved for an org, expired or not; None where there is none."""
        # tokens.read: one org's token.
        row = await self.database.fetchrow(
            """
            SELECT org_id, token, key_id, api_domain, issued_at, expires_at, generation
            FROM access_tokens WHERE org_id = $1 AND token IS NOT NULL
            """,
            org_id,
        )
        return None if row is None else unseal_token(self.keyring, row)

    async def acquire_lease(
        self, org_id: int, holder: UUID, seconds: float, seen_generation: int, now: datetime
    ) -> Lease | LeaseDenied:
        """The right to ask for one token, for so many seconds, or why not; see `core.token.AcquireLease`."""
        row = await self.database.fetchrow(
            _ACQUIRE, org_id, holder, seconds, seen_generation, now, ISSUES_PER_WINDOW, ISSUE_WINDOW_SECONDS
        )
        if row is None:
            return LeaseDenied(Denial.GONE, now)
        if row["granted"]:
            return Lease(holder, row["until"], row["cool_downs"])
        return LeaseDenied(Denial(row["reason"]), row["until"])

    async def save(self, org_id: int, holder: UUID, issued: IssuedToken) -> int | None:
        """Keep a token and end the lease; the new generation, or None where the lease was no longer this holder's."""
        # tokens.save: only the holder of the lease may.
        generation: int | None = await self.database.fetchval(
            """
            UPDATE access_tokens SET
                token = $3, key_id = $4, api_domain = $5, issued_at = $6, expires_at = $7, generation = generation + 1,
                lease_holder = NULL, lease_until = NULL, cool_until = NULL, cool_downs = 0
            WHERE org_id = $1 AND lease_holder = $2
            RETURNING generation
            """,
            org_id,
            holder,
            self.keyring.encrypt(org_id, Column.ACCESS, issued.secret),
            self.keyring.current_id,
            issued.api_domain,
            issued.issued_at,
            issued.expires_at,
        )
        return generation

    async def expire_early(self, org_id: int, generation: int, expires_at: datetime) -> None:
        """Sets an earlier end of the stored token, if it is still of this generation."""
        # tokens.expire_early: never a later end, never another token.
        await self.database.execute(
            """
            UPDATE access_tokens SET expires_at = $3
            WHERE org_id = $1 AND generation = $2 AND token IS NOT NULL AND expires_at > $3
            """,
            org_id,
            generation,
            expires_at,
        )

    async def release(self, org_id: int, holder: UUID) -> None:
        """End the lease if it is still this holder's."""
        # tokens.release: nobody is asking any more.
        await self.database.execute(
            "UPDATE access_tokens SET lease_holder = NULL, lease_until = NULL WHERE org_id = $1 AND lease_holder = $2",
            org_id,
            holder,
        )

    async def cool_down(self, org_id: int, holder: UUID, until: datetime) -> None:
        """Leave the token endpoint alone until then; whoever lost the lease meanwhile has a say all the same."""
        # tokens.cool_down: a throttled endpoint is told by any answer of it, late ones included, but for one to
        # credentials that were replaced: see new_credentials.
        await self.database.execute(
            """
            UPDATE access_tokens SET
                cool_until = greatest(cool_until, $3), cool_downs = least(cool_downs + 1, 1000),
                lease_holder = nullif(lease_holder, $2),
                lease_until = CASE WHEN lease_holder = $2 THEN NULL ELSE lease_until END
            WHERE org_id = $1 AND lease_until IS DISTINCT FROM '-infinity'
            """,
            org_id,
            holder,
            until,
        )

    async def park(self, org_id: int, holder: UUID, reason: ParkReason, now: datetime) -> None:
        """Parks an org whose token request Zoho refused, unless the lease is no longer this holder's."""
        await orgs.park(
            self.database,
            org_id,
            reason.code,
            reason.remedy,
            now,
            outcome=Outcome.UNAUTHORIZED,
            first_probe_seconds=reason.first_probe_seconds,
            lease_holder=holder,
        )

    async def reserve_exchange(self, client_id: str, now: datetime) -> float:
        """Count one exchange of a grant code of this client: 0.0; or the seconds to wait, and nothing is counted."""
        key = _key_of_client(client_id)
        until: datetime | None = await self.database.fetchval(
            _RESERVE_EXCHANGE, key, now, CODES_PER_WINDOW, CODE_WINDOW_SECONDS
        )
        return 0.0 if until is None else (until - now).total_seconds()

    async def save_refresh_token(self, org_id: int, grant_code: Secret, refresh_token: Secret) -> None:
        """Put what a grant code was exchanged for in its place."""
        await credentials.save_refresh_token(self.database, self.keyring, org_id, grant_code, refresh_token)


async def exchanges_possible(database: Database, client_id: str, now: datetime) -> int:
    """How many grant codes of this client Zoho takes before a code that is made now expires."""
    # tokens.exchanges_possible: an exchange counted so lately is still counted when the code has expired.
    counted: int = await database.fetchval(
        "SELECT count(*)::int FROM token_budgets, unnest(issued_at) AS at WHERE grant_fingerprint = $1 AND at > $2",
        _key_of_client(client_id),
        now - timedelta(seconds=CODE_WINDOW_SECONDS - CODE_LIFE_SECONDS),
    )
    return max(CODES_PER_WINDOW - counted, 0)


def _key_of_client(client_id: str) -> bytes:
    """What a client's codes are counted under, beside the issues of grants: a key that no grant can have."""
    return hashlib.sha256(f"grant codes\0{client_id}".encode()).digest()


async def forget_budgets(database: Database, now: datetime) -> int:
    """Delete the budgets that hold nothing back any more, of removed orgs and replaced grants; how many."""
    # tokens.forget_budgets: an hour is longer than any window and lease together.
    status = await database.execute(
        "DELETE FROM token_budgets WHERE $1::timestamptz - interval '1 hour' > ALL (issued_at)", now
    )
    return int(status.rpartition(" ")[2])


def unseal_token(keyring: Keyring, row: Record) -> StoredToken:
    """The token of a row of `access_tokens` that has one; without its secret where the keys do not decrypt it."""
    try:
        secret = keyring.decrypt(row["org_id"], Column.ACCESS, row["key_id"], row["token"])
    except CredentialError:
        secret = None
    return StoredToken(
        secret=secret,
        api_domain=row["api_domain"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        generation=row["generation"],
    )


# tokens.reserve_exchange: a client's codes are counted beside the issues of grants, under a key no grant can have.
# $1 key, $2 now, $3 exchanges and $4 seconds of the window
_RESERVE_EXCHANGE = """
WITH span AS (
    SELECT $2::timestamptz - make_interval(secs => $4::float8) AS start
), counted AS (
    INSERT INTO token_budgets AS b (grant_fingerprint, issued_at) VALUES ($1, ARRAY[$2::timestamptz])
    ON CONFLICT (grant_fingerprint) DO UPDATE SET issued_at = ARRAY(
        SELECT at FROM unnest(b.issued_at) AS at WHERE at > (SELECT start FROM span) ORDER BY at
    ) || $2::timestamptz
    WHERE (SELECT count(*) FROM unnest(b.issued_at) AS at WHERE at > (SELECT start FROM span)) < $3
    RETURNING true
)
SELECT CASE WHEN NOT EXISTS (SELECT FROM counted) THEN coalesce(
    (SELECT at FROM token_budgets b, unnest(b.issued_at) AS at
     WHERE b.grant_fingerprint = $1 AND at > (SELECT start FROM span) ORDER BY at DESC OFFSET $3 - 1 LIMIT 1),
    $2::timestamptz) + make_interval(secs => $4::float8) END
"""

# tokens.acquire: one lease per org at a time, and an issue of the grant's budget with it, or neither.
# The org's row is locked first, so that of two who come at once the second sees what the first wrote; the budget's row
# is changed under its own lock, and only where it has room. An issue is counted when it is reserved and reaches Zoho
# at the latest when the lease ends: that much longer it stays in the window.
# $1 org, $2 holder, $3 seconds, $4 generation seen, $5 now, $6 issues and $7 seconds of the window
_ACQUIRE = """
WITH held AS MATERIALIZED (
    SELECT t.org_id, c.grant_fingerprint, t.generation, t.cool_until, t.cool_downs, t.lease_until,
           CASE WHEN t.generation > $4 AND t.token IS NOT NULL THEN 'renewed'
                WHEN t.cool_until > $5 THEN 'cooling'
                WHEN t.lease_until > $5 THEN 'held' END AS reason
    FROM access_tokens t JOIN org_credentials c ON c.org_id = t.org_id
    WHERE t.org_id = $1
    FOR UPDATE OF t
), span AS (
    SELECT make_interval(secs => $7::float8 + $3::float8) AS kept
), budget AS (
    INSERT INTO token_budgets AS b (grant_fingerprint, issued_at)
    SELECT grant_fingerprint, ARRAY[$5::timestamptz] FROM held WHERE reason IS NULL
    ON CONFLICT (grant_fingerprint) DO UPDATE SET issued_at = ARRAY(
        SELECT at FROM unnest(b.issued_at) AS at WHERE at > $5 - (SELECT kept FROM span) ORDER BY at
    ) || $5::timestamptz
    WHERE (SELECT count(*) FROM unnest(b.issued_at) AS at WHERE at > $5 - (SELECT kept FROM span)) < $6
    RETURNING grant_fingerprint
), leased AS (
    UPDATE access_tokens t SET lease_holder = $2, lease_until = $5 + make_interval(secs => $3::float8)
    FROM held, budget
    WHERE t.org_id = held.org_id
    RETURNING t.lease_until
)
SELECT leased.lease_until IS NOT NULL AS granted,
       coalesce(held.reason, 'budget') AS reason,
       held.cool_downs,
       CASE WHEN leased.lease_until IS NOT NULL THEN leased.lease_until
            WHEN held.reason = 'renewed' THEN $5
            WHEN held.reason = 'cooling' THEN held.cool_until
            WHEN held.reason = 'held' THEN held.lease_until
            ELSE coalesce(
                (SELECT at + (SELECT kept FROM span)
                 FROM token_budgets b, unnest(b.issued_at) AS at
                 WHERE b.grant_fingerprint = held.grant_fingerprint AND at > $5 - (SELECT kept FROM span)
                 ORDER BY at DESC OFFSET $6 - 1 LIMIT 1),
                $5 + (SELECT kept FROM span))
       END AS until
FROM held LEFT JOIN leased ON true
"""
