"""Access tokens, leases and credentials: the values that `zoho` and `store` exchange, and the ports between them.

Zoho issues only 10 tokens per grant in 10 minutes. So all workers share one access token per org, and renew it under a
lease: a row with a holder and an end, never a lock or a transaction held while a request runs.

Data types and port signatures only. Times are aware UTC; secrets have a masked repr.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from poller.core.secret import Secret

ISSUES_PER_WINDOW: Final = 10
ISSUE_WINDOW_SECONDS: Final = 600
"""Zoho issues 10 access tokens per refresh token in 10 minutes (Zoho, "OAuth limits"); applied to every grant."""

CODES_PER_WINDOW: Final = 10
CODE_WINDOW_SECONDS: Final = 660.0
"""Zoho accepts 10 grant codes of a client in 10 minutes ("OAuth limits"). A request may follow up to a minute after it
was counted, so each counts for a minute longer."""

CODE_LIFE_SECONDS: Final = 600.0
"""The longest life of a grant code: 3 to 10 minutes, chosen by the person who generates the code."""

SCOPES: Final = ("ZohoCRM.users.READ", "ZohoCRM.org.READ", "ZohoCRM.features.READ")
"""What a grant must allow: reading the counts, the edition and licences, and the seats."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The OAuth client of one org and its grant: one of `refresh_token`, `grant_code` and `soid`.

    A `grant_code` can be exchanged once, within minutes, and is then replaced by a refresh token.
    """

    client_id: str
    client_secret: Secret
    refresh_token: Secret | None = None
    grant_code: Secret | None = None
    soid: str | None = None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An org's access token as stored in PostgreSQL. Check the `api_domain` before sending a token there.

    `secret` is None if this process's keys do not decrypt it: such a token is renewed like an expired one.
    `generation` counts the tokens ever saved for this org, so that two workers agree which one is newer.
    """

    secret: Secret | None
    api_domain: str | None
    issued_at: datetime
    expires_at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token ready for use: where it may be sent, until when, and its generation (0: not saved in PostgreSQL)."""

    secret: Secret
    api_domain: str
    issued_at: datetime
    expires_at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that Zoho has just issued; the holder of the lease saves it."""

    secret: Secret
    api_domain: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to request one token, until `until`; one of the grant's ten tokens is already reserved for it.

    `cool_downs` is the number of cool-downs in a row of this org: 0 after a token was saved.
    """

    holder: UUID
    until: datetime
    cool_downs: int = 0


KEY_MISSING: Final = "key_missing"
"""Error of a slot whose org's credentials are encrypted with a key that this process does not have."""
UNREADABLE: Final = "unreadable_credentials"
"""Error of a slot whose org's credentials do not decrypt with the key of that id."""
UNOPENED: Final = frozenset({KEY_MISSING, UNREADABLE})
"""Errors of this process, not of Zoho or the org: another worker may have the right key."""
NO_CREDENTIALS: Final = "no_credentials"


class Denial(StrEnum):
    """Why a lease is denied."""

    HELD = "held"
    """Another worker requests a token; `until` is the end of its lease."""
    COOLING = "cooling"
    """The token endpoint throttled this org; `until` is the end of the cool-down."""
    BUDGET = "budget"
    """Ten tokens were issued in ten minutes; `until` is when the oldest is ten minutes old."""
    RENEWED = "renewed"
    """A token of a newer generation is stored and can be read; `until` is now."""
    GONE = "gone"
    """The org has no credentials, because it was removed; `until` is now."""


@dataclass(frozen=True, slots=True)
class LeaseDenied:
    """Why there is no lease, and when to try again."""

    reason: Denial
    until: datetime


@dataclass(frozen=True, slots=True)
class ParkReason:
    """Why an org is parked, what a person does about it, and when it is first probed; later probes become rarer."""

    code: str
    remedy: str
    first_probe_seconds: float


# The ports, as the store implements them. Arguments are positional, in this order.

ReadCredentials = Callable[[int], Awaitable[Credentials | None]]
"""`read_credentials(org_id)`: the decrypted credentials, or None if the org has none because it was removed."""

ReadToken = Callable[[int], Awaitable[StoredToken | None]]
"""`read(org_id)`: the newest token, even if it has expired; None if there never was one."""

AcquireLease = Callable[[int, UUID, float, int, datetime], Awaitable[Lease | LeaseDenied]]
"""`acquire_lease(org_id, holder, seconds, seen_generation, now)`: one statement that checks in this order. RENEWED: a
token of a generation above `seen_generation` is stored (not if an import of new credentials deleted that token).
COOLING: a cool-down has not ended. HELD: another lease has not ended. BUDGET: ten tokens of the grant's fingerprint in
the last ten minutes. Else the lease, with one token of the budget reserved; the reservation stays, because Zoho may
have counted it. `seen_generation` is 0 if the caller has seen no token."""

SaveToken = Callable[[int, UUID, IssuedToken], Awaitable[int | None]]
"""`save(org_id, holder, issued)`: saves the token, ends the lease and clears the cool-downs. Returns the new
generation, or None if the holder has lost the lease; then nothing is saved."""

ReleaseLease = Callable[[int, UUID], Awaitable[None]]
"""`release(org_id, holder)`: ends the lease, if the holder still has it."""

CoolDown = Callable[[int, UUID, datetime], Awaitable[None]]
"""`cool_down(org_id, holder, until)`: ends the lease, denies leases before `until`, and counts one more cool-down in a
row. Does nothing if the credentials were replaced and no lease was taken for the new ones."""

Park = Callable[[int, UUID, ParkReason, datetime], Awaitable[None]]
"""`park(org_id, holder, reason, now)`: parks the org: it is only probed until a person has repaired it. Does nothing if
the holder has lost the lease, because the credentials may have been replaced."""

SaveRefreshToken = Callable[[int, Secret, Secret], Awaitable[None]]
"""`save_refresh_token(org_id, grant_code, refresh_token)`: replaces that grant code, in one transaction. Does nothing
if the org has other credentials by now."""

ReserveExchange = Callable[[str, datetime], Awaitable[float]]
"""`reserve_exchange(client_id, now)`: counts one exchange of a grant code of this client and returns 0.0, or returns
the seconds until its next exchange is allowed and counts nothing."""

ExpireTokenEarly = Callable[[int, int, datetime], Awaitable[None]]
"""`expire_early(org_id, generation, expires_at)`: sets an earlier end of the stored token, if it is still of that
generation; never a later end."""
