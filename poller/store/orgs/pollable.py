"""What is stored of orgs beside their settings: limits, parking, credentials. Read by checks and by pages about an org.

Secrets stay encrypted until they are asked for. Polls do not use this module: see `poll_state`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.core.policy import PollPolicy
from poller.store.orgs.credentials import decrypt_credentials
from poller.store.orgs.credits import counted_after
from poller.store.orgs.poll_state import POLL_PAGE, org_of, pages_of_rows, parked_of, rate_limit_of, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from poller.core.health import Parked
    from poller.core.model import Org
    from poller.core.rate_limit import RateLimitState
    from poller.core.token import Credentials, StoredToken
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@dataclass(frozen=True, slots=True)
class PollableOrg:
    """One org with what is stored of its limits, parking and credentials.

    `rate_limit`: learned from 429s. `credits_spent`: by the poller in the last 24 hours. `credits_remaining`: what Zoho
    reported at `credits_remaining_at`, for all apps of the customer together.
    """

    org: Org
    parked: Parked | None
    rate_limit: RateLimitState
    credits_spent: int
    credits_remaining: int | None
    credits_remaining_at: datetime | None
    _row: Any = field(repr=False)

    @property
    def client_id(self) -> str | None:
        """The OAuth client of the org's credentials; None without credentials."""
        client_id: str | None = self._row["client_id"]
        return client_id

    def credentials(self, keyring: Keyring) -> Credentials | None:
        """The decrypted credentials, or None. A `CredentialError` if the keys of this process do not decrypt them."""
        return None if self._row["client_id"] is None else decrypt_credentials(keyring, self._row)

    def token(self, keyring: Keyring) -> StoredToken | None:
        """The access token when the row was read, or None; see `decrypt_token`."""
        return token_of(self._row, keyring)


async def pages_of_active(
    database: Database,
    names: Sequence[str] | None,
    *,
    now: datetime,
    api_version: str,
    interval_seconds: int,
    page: int = 200,
) -> AsyncIterator[list[PollableOrg]]:
    """Every org that is neither paused nor removed, or the named orgs even if paused. Parked orgs are included.

    `api_version` and `interval_seconds` are for orgs without their own. An unknown name is a `UsageError`.
    """
    policy = PollPolicy(interval_seconds, api_version=api_version)
    async for rows in pages_of_rows(database, names, now=lambda: now, page=page):
        yield [_pollable(row, policy) for row in rows]


async def read_pollable(
    database: Database, org_ids: Sequence[int], *, now: datetime, api_version: str, interval_seconds: int
) -> list[PollableOrg]:
    """These orgs, paused or not, without removed orgs."""
    policy = PollPolicy(interval_seconds, api_version=api_version)
    rows = await database.fetch(POLL_PAGE, 0, len(org_ids), org_ids, counted_after(now), None)
    return [_pollable(row, policy) for row in rows]


def _pollable(row: Any, policy: PollPolicy) -> PollableOrg:
    return PollableOrg(
        org=org_of(row, policy),
        parked=parked_of(row),
        rate_limit=rate_limit_of(row),
        credits_spent=row["credits_spent"],
        credits_remaining=row["credits_remaining"],
        credits_remaining_at=row["credits_remaining_at"],
        _row=row,
    )
