"""Stores access tokens, which all workers share: `TokenStore` implements the ports of `zoho.tokens`.

One statement takes a lease and counts the token in the budget of its grant, so a token is counted before it is
requested from Zoho, even if the worker crashes then. No lock or transaction lasts longer than a statement. The caller
passes `now`, so that tests can set the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import CredentialError
from poller.core.model import Outcome
from poller.core.token import (
    ISSUE_WINDOW_SECONDS,
    ISSUES_PER_WINDOW,
    Credentials,
    Denial,
    IssuedToken,
    Lease,
    LeaseDenied,
    StoredToken,
)
from poller.store.orgs import credentials, parking, token_budgets
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from poller.core.secret import Secret
    from poller.core.token import ParkReason
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Row


@dataclass(frozen=True, slots=True)
class TokenStore:
    """The ports of `core.token` in PostgreSQL. Each method is passed on as a port."""

    database: Database
    keyring: Keyring

    async def read_credentials(self, org_id: int) -> Credentials | None:
        """Returns an org's credentials, or None."""
        return await credentials.read_credentials(self.database, self.keyring, org_id)

    async def read(self, org_id: int) -> StoredToken | None:
        """Returns the newest token of an org, expired or not, or None."""
        # tokens.read: of one org.
        row = await self.database.fetchrow(
            """
            SELECT org_id, token, key_id, api_domain, issued_at, expires_at, generation
            FROM access_tokens WHERE org_id = $1 AND token IS NOT NULL
            """,
            org_id,
        )
        return None if row is None else decrypt_token(self.keyring, row)

    async def acquire_lease(
        self, org_id: int, holder: UUID, seconds: float, seen_generation: int, now: datetime
    ) -> Lease | LeaseDenied:
        """Takes the right to request one token within `seconds`, or says why not; see `core.token.AcquireLease`."""
        row = await self.database.fetchrow(
            _ACQUIRE, org_id, holder, seconds, seen_generation, now, ISSUES_PER_WINDOW, ISSUE_WINDOW_SECONDS
        )
        if row is None:
            return LeaseDenied(Denial.GONE, now)
        if row["granted"]:
            return Lease(holder, row["until"], row["cool_downs"])
        return LeaseDenied(Denial(row["reason"]), row["until"])

    async def save(self, org_id: int, holder: UUID, issued: IssuedToken) -> int | None:
        """Saves a token and ends the lease; returns the new generation, or None if the holder has lost the lease."""
        # tokens.save: only the holder of the lease may save.
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
        """Ends the lease if it is still this holder's."""
        # tokens.release
        await self.database.execute(
            "UPDATE access_tokens SET lease_holder = NULL, lease_until = NULL WHERE org_id = $1 AND lease_holder = $2",
            org_id,
            holder,
        )

    async def cool_down(self, org_id: int, holder: UUID, until: datetime) -> None:
        """Records that no token may be requested before `until`, even if the lease is no longer this holder's."""
        # tokens.cool_down: every throttled reply of the endpoint counts, late ones too, except a reply to credentials
        # that were replaced: see new_credentials.
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
        await parking.park(
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
        """Counts one exchange of a grant code and returns 0.0; or counts none and returns the seconds to wait."""
        return await token_budgets.reserve_exchange(self.database, client_id, now)

    async def save_refresh_token(self, org_id: int, grant_code: Secret, refresh_token: Secret) -> None:
        """Replaces a grant code by the refresh token it was exchanged for."""
        await credentials.save_refresh_token(self.database, self.keyring, org_id, grant_code, refresh_token)


def decrypt_token(keyring: Keyring, row: Row) -> StoredToken:
    """Returns the token in a row of `access_tokens`; without its secret if no key decrypts it."""
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


# tokens.acquire: takes one lease per org at a time and counts one token in the grant's budget, or does neither.
# It locks the row of the org first, so that of two workers at the same time the second sees what the first wrote. The
# row of the budget changes under its own lock, and only if the budget is not used up. A token is counted now, but Zoho
# may issue it as late as the lease ends: so it stays in the window longer, by the length of the lease.
# $1 org, $2 holder, $3 seconds, $4 generation seen, $5 now, $6 issues and $7 seconds of the window
_ACQUIRE: Final = """
WITH existing AS MATERIALIZED (
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
    SELECT grant_fingerprint, ARRAY[$5::timestamptz] FROM existing WHERE reason IS NULL
    ON CONFLICT (grant_fingerprint) DO UPDATE SET issued_at = ARRAY(
        SELECT at FROM unnest(b.issued_at) AS at WHERE at > $5 - (SELECT kept FROM span) ORDER BY at
    ) || $5::timestamptz
    WHERE (SELECT count(*) FROM unnest(b.issued_at) AS at WHERE at > $5 - (SELECT kept FROM span)) < $6
    RETURNING grant_fingerprint
), leased AS (
    UPDATE access_tokens t SET lease_holder = $2, lease_until = $5 + make_interval(secs => $3::float8)
    FROM existing, budget
    WHERE t.org_id = existing.org_id
    RETURNING t.lease_until
)
SELECT leased.lease_until IS NOT NULL AS granted,
       coalesce(existing.reason, 'budget') AS reason,
       existing.cool_downs,
       CASE WHEN leased.lease_until IS NOT NULL THEN leased.lease_until
            WHEN existing.reason = 'renewed' THEN $5
            WHEN existing.reason = 'cooling' THEN existing.cool_until
            WHEN existing.reason = 'held' THEN existing.lease_until
            ELSE coalesce(
                (SELECT at + (SELECT kept FROM span)
                 FROM token_budgets b, unnest(b.issued_at) AS at
                 WHERE b.grant_fingerprint = existing.grant_fingerprint AND at > $5 - (SELECT kept FROM span)
                 ORDER BY at DESC OFFSET $6 - 1 LIMIT 1),
                $5 + (SELECT kept FROM span))
       END AS until
FROM existing LEFT JOIN leased ON true
"""
