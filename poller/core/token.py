"""Access tokens, leases and credentials: the values `zoho` and `store` hand each other, and the ports between.

The scarce thing is the issue of a token (10 per grant in 10 minutes), so one access token per org is kept for the whole
fleet and renewed under a lease: an entry with a holder and an end, never a lock or a transaction held across HTTP.

Nothing here does anything; all times are aware UTC, all secrets hide themselves.
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
"""Zoho issues 10 access tokens per refresh token in 10 minutes (Zoho, "OAuth limits"); every grant is held to it."""

CODES_PER_WINDOW: Final = 10
CODE_WINDOW_SECONDS: Final = 660.0
"""Zoho takes 10 grant codes of a client in 10 minutes ("OAuth limits"); what is counted now may be asked for up to a
minute later, so each counts a minute longer."""

CODE_LIFE_SECONDS: Final = 600.0
"""The longest a grant code lives: 3 to 10 minutes, as chosen when it is made."""

SCOPES: Final = ("ZohoCRM.users.READ", "ZohoCRM.org.READ", "ZohoCRM.features.READ")
"""What a grant must allow: the counts, the edition and licences, the seats."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How one org's tokens are asked for: a client, and the one grant of `refresh_token`, `grant_code`, `soid` it has.

    A `grant_code` is good for one exchange within minutes of its making and is then replaced by the refresh token.
    """

    client_id: str
    client_secret: Secret
    refresh_token: Secret | None = None
    grant_code: Secret | None = None
    soid: str | None = None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An org's access token as kept in PostgreSQL; `api_domain` is what was stored, to be believed only if believable.

    `secret` is None where this process's keys do not decrypt it: such a token is renewed like one that has expired.
    `generation` counts the tokens ever saved for this org, so that two workers agree on which one is newer.
    """

    secret: Secret | None
    api_domain: str | None
    issued_at: datetime
    expires_at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token ready to use: where it may be sent, until when, and which generation it is (0: known to nobody else)."""

    secret: Secret
    api_domain: str
    issued_at: datetime
    expires_at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What Zoho has just issued, to be saved by the holder of the lease."""

    secret: Secret
    api_domain: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to ask for one token, until `until`; one issue of the grant's budget is already reserved for it.

    `cool_downs` is how many cool-downs in a row this org has had: 0 after a token was saved.
    """

    holder: UUID
    until: datetime
    cool_downs: int = 0


KEY_MISSING: Final = "key_missing"
"""Error of a slot whose org's credentials are encrypted with a key that this process does not have."""
UNREADABLE: Final = "unreadable_credentials"
"""Error of a slot whose org's credentials do not decrypt with the key of that id."""
UNOPENED: Final = frozenset({KEY_MISSING, UNREADABLE})
"""Errors of ours, not of Zoho or the org: another worker may have the right key."""
NO_CREDENTIALS: Final = "no_credentials"


class Denial(StrEnum):
    """Why a lease is not to be had now."""

    HELD = "held"
    """Another worker is asking; `until` is the end of its lease."""
    COOLING = "cooling"
    """The token endpoint throttled this org; `until` is the end of the cool-down."""
    BUDGET = "budget"
    """Ten issues in ten minutes are spent; `until` is when the oldest leaves the window."""
    RENEWED = "renewed"
    """A token of a newer generation than the one seen is stored: read it; `until` is now."""
    GONE = "gone"
    """The org has no credentials any more: it was removed. `until` is now."""


@dataclass(frozen=True, slots=True)
class LeaseDenied:
    """No lease, why, and when to ask again."""

    reason: Denial
    until: datetime


@dataclass(frozen=True, slots=True)
class ParkReason:
    """Why an org is parked, what a person does about it, and when it is first tried again; then ever more seldom."""

    code: str
    remedy: str
    first_probe_seconds: float


# The ports, as the store offers them. Arguments are positional, in this order; the first is always the org's id.

ReadCredentials = Callable[[int], Awaitable[Credentials | None]]
"""`read_credentials(org_id)`: decrypted, or None where the org has none (removed meanwhile)."""

ReadToken = Callable[[int], Awaitable[StoredToken | None]]
"""`read(org_id)`: the newest token saved, expired or not; None where none ever was."""

AcquireLease = Callable[[int, UUID, float, int, datetime], Awaitable[Lease | LeaseDenied]]
"""`acquire_lease(org_id, holder, seconds, seen_generation, now)`: one statement, in this order: a stored token of
a generation above `seen_generation` is RENEWED (a generation that has lost its token, as when new credentials were
imported, is not); a cool-down not over is COOLING; another's lease not over is HELD; ten issues in the
last ten minutes of the grant's fingerprint is BUDGET; else the lease, with an issue of the budget reserved (it is not
given back: whether Zoho counted it is not known). `seen_generation` is 0 where no token was seen."""

SaveToken = Callable[[int, UUID, IssuedToken], Awaitable[int | None]]
"""`save(org_id, holder, issued)`: keeps the token, ends the lease, clears the cool-downs; the new generation, or None
where the lease was no longer this holder's and nothing was saved."""

ReleaseLease = Callable[[int, UUID], Awaitable[None]]
"""`release(org_id, holder)`: ends the lease if it is still this holder's."""

CoolDown = Callable[[int, UUID, datetime], Awaitable[None]]
"""`cool_down(org_id, holder, until)`: no lease before `until`, one cool-down more in a row, and the lease ends.
Nothing where the credentials were replaced since, and nobody has had a lease for the new ones."""

Park = Callable[[int, UUID, ParkReason, datetime], Awaitable[None]]
"""`park(org_id, holder, reason, now)`: a person must repair this org; it is not polled until then, only probed. Nothing
where the lease is no longer this holder's: the credentials may have been replaced."""

SaveRefreshToken = Callable[[int, Secret, Secret], Awaitable[None]]
"""`save_refresh_token(org_id, grant_code, refresh_token)`: takes the place of that grant code, in one transaction;
nothing where the org has other credentials by now."""

ReserveExchange = Callable[[str, datetime], Awaitable[float]]
"""`reserve_exchange(client_id, now)`: 0.0, and one exchange of a grant code of this client is counted; or how many
seconds until its next may be, and nothing is counted."""

ShortenToken = Callable[[int, int, datetime], Awaitable[None]]
"""`shorten(org_id, generation, expires_at)`: the token of that generation, if it is still the one kept, ends already at
`expires_at`; a later end than the one kept changes nothing."""
