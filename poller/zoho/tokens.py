"""Access tokens: one per org for all workers, kept in PostgreSQL and renewed early, by one worker at a time.

The flow: read the stored token. If a new one is due, take the lease, which reserves one of the tokens that Zoho issues
to the grant in ten minutes; request a token; check the reply; save the token; end the lease. A worker that does not get
the lease waits for the result of the worker that has it, or uses the old token while it is valid.

Refuses to: request a token without a lease; repeat a request that Zoho refused or throttled; hold a lock or a
transaction while a request runs; send a credential anywhere but in the body of the form.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never
from uuid import uuid4
from zlib import crc32

import structlog

from poller.core.datacenters import is_believable_api_domain
from poller.core.errors import CredentialError, MissingKeyError
from poller.core.model import Outcome
from poller.core.token import KEY_MISSING, NO_CREDENTIALS, UNREADABLE, AccessToken, Denial, Lease
from poller.core.token_reply import refresh_at
from poller.log import bound
from poller.zoho.token_issue import TokenPorts, TokenRequest
from poller.zoho.token_request import NoToken, no_token, token_form

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from poller.core.datacenters import DataCenter
    from poller.core.model import Org
    from poller.core.token import LeaseDenied, StoredToken

__all__ = ["LEASE_SECONDS", "NoToken", "TokenPorts", "Tokens"]

LEASE_SECONDS: Final = 30.0
"""Twice the default request timeout: the reply to a request under a lease comes before the lease ends."""
FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 2.0
_MAX_LEASES_WAITED: Final = 2
_MAX_REQUESTS: Final = 2
"""The second request only if the network or an edge server failed: the next poll may be 15 minutes away."""
_RETRY_SECONDS: Final = 1.0
_EXPIRY_TOLERANCE: Final = timedelta(minutes=1)
"""Clocks differ by less, and a token is renewed minutes before its end."""

log = structlog.get_logger("poller.tokens")


class Tokens:
    """The access tokens of the orgs in `data_centers`. `lease_seconds` must exceed the time of a token request."""

    def __init__(
        self, ports: TokenPorts, data_centers: Mapping[str, DataCenter], *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._ports = ports
        self._data_centers = data_centers
        self._lease_seconds = lease_seconds
        self._reported: set[str] = set()

    async def get(self, org: Org, known: StoredToken | None = None) -> AccessToken | NoToken:
        """A valid token: the stored one (`known`, if the caller has just read it), or a new one if it is due.

        A token that is due but still valid stays in use while no new one can be had.
        """
        at_hand = self._data_centers.get(org.data_center)
        if known is not None and at_hand is not None:
            token = self._usable(known, at_hand)
            if token is not None and not self._is_due(org, token):
                return token

        async def flow(data_center: DataCenter) -> AccessToken | NoToken:
            stored = known or await self._ports.read(org.id)
            token = self._usable(stored, data_center)
            if token is None:
                return await self._obtain(org, data_center, stored.generation if stored else 0)
            if not self._is_due(org, token):
                return token
            found = await self._obtain(org, data_center, token.generation, wait=False)
            temporary = isinstance(found, NoToken) and found.outcome is not Outcome.UNAUTHORIZED
            return token if temporary and self._ports.now() < token.expires_at else found

        return await self._with_data_center(org, flow)

    def _is_due(self, org: Org, token: AccessToken) -> bool:
        """Whether to request a new token, although this one may be valid."""
        return self._ports.now() >= refresh_at(token.issued_at, token.expires_at, _spread(org, token))

    async def renew(self, org: Org, stale: AccessToken) -> AccessToken | NoToken:
        """Replaces a token that Zoho called invalid, by another worker's newer one or a new one. Once per poll."""
        return await self._with_data_center(org, lambda data_center: self._obtain(org, data_center, stale.generation))

    async def set_expiry(self, org: Org, token: AccessToken, ends_at: datetime) -> None:
        """Records the end of this token that an API reply names (X-ACCESSTOKEN-RESET), if it is earlier than known."""
        early = token.expires_at - ends_at >= _EXPIRY_TOLERANCE
        if early and token.generation and self._ports.expire_early is not None:
            await self._ports.expire_early(org.id, token.generation, ends_at)

    async def exchange(self, org: Org) -> AccessToken | NoToken:
        """Exchanges the org's grant code for its first token and a refresh token. `onboarding` sets the pace."""
        return await self._with_data_center(org, lambda data_center: self._obtain(org, data_center, 0, exchange=True))

    async def _with_data_center(
        self, org: Org, flow: Callable[[DataCenter], Awaitable[AccessToken | NoToken]]
    ) -> AccessToken | NoToken:
        """Runs `flow`. An unreadable secret or unknown data centre affects one org only, so it becomes a value."""
        data_center = self._data_centers.get(org.data_center)
        if data_center is None:
            return no_token(Outcome.UNAUTHORIZED, "unknown_data_center")
        with bound(org=org.name):
            try:
                return await flow(data_center)
            except CredentialError as unreadable:
                return self._unreadable(org, unreadable)

    def _unreadable(self, org: Org, error: CredentialError) -> NoToken:
        """Neither the org's fault nor Zoho's, so the outcome is not unauthorized; logged once per key or org."""
        missing = isinstance(error, MissingKeyError)
        subject = error.key_id if isinstance(error, MissingKeyError) else f"org {org.id}"
        if subject not in self._reported:
            self._reported.add(subject)
            log.error("token.unreadable", org_id=org.id, what=error.what, remedy=error.remedy)
        return NoToken(Outcome.MISSED, KEY_MISSING if missing else UNREADABLE, error.remedy)

    async def _obtain(
        self, org: Org, data_center: DataCenter, seen_generation: int, *, wait: bool = True, exchange: bool = False
    ) -> AccessToken | NoToken:
        """A token of a later generation than `seen_generation`, requested here or by another worker."""
        ports, seconds = self._ports, self._lease_seconds
        form = token_form(await ports.read_credentials(org.id), exchange=exchange)
        if isinstance(form, NoToken):
            return form
        give_up_at = ports.now() + timedelta(seconds=seconds * _MAX_LEASES_WAITED)
        pause, requests = FIRST_PAUSE_SECONDS, 0
        while True:
            lease = await ports.acquire_lease(org.id, uuid4(), seconds, seen_generation, ports.now())
            if isinstance(lease, Lease):
                requests += 1
                found = await TokenRequest(ports, org, data_center, lease).send(exchange=exchange)
                # A request whose reply was lost may have used up the grant code, and codes are paced.
                may_retry = wait and not exchange and requests < _MAX_REQUESTS
                if not (may_retry and isinstance(found, NoToken) and found.retry):
                    return found
                await ports.sleep(_RETRY_SECONDS)
            elif lease.reason is Denial.RENEWED:
                renewed, seen_generation = await self._renewed(org, data_center, seen_generation)
                if renewed is not None:
                    return renewed
            elif lease.reason is Denial.HELD and wait and ports.now() < give_up_at:
                # Another worker waits for Zoho's reply: look again soon, at the latest when its lease ends.
                await ports.sleep(min(pause, max((lease.until - ports.now()).total_seconds(), FIRST_PAUSE_SECONDS)))
                pause = min(pause * 1.5, MAX_PAUSE_SECONDS)
            else:
                return _denied(lease)

    async def _renewed(
        self, org: Org, data_center: DataCenter, seen_generation: int
    ) -> tuple[AccessToken | NoToken | None, int]:
        """The newer token that another worker saved, if usable, and the generation seen now; None: try the lease."""
        stored = await self._ports.read(org.id)
        token = self._usable(stored, data_center)
        if token is not None:
            return token, token.generation
        if stored is None:
            return None, seen_generation
        if stored.generation <= seen_generation:
            return no_token(Outcome.UNAVAILABLE, "token_held"), seen_generation
        # The token was deleted again, for example by an import of new credentials, or this process cannot use it.
        return None, stored.generation

    def _usable(self, stored: StoredToken | None, data_center: DataCenter) -> AccessToken | None:
        """The stored token, if it has not expired and its API domain is one to which a token may be sent."""
        if stored is None or stored.secret is None or stored.api_domain is None:
            return None
        if stored.expires_at <= self._ports.now():
            return None
        if not is_believable_api_domain(stored.api_domain, data_center):
            return None
        return AccessToken(stored.secret, stored.api_domain, stored.issued_at, stored.expires_at, stored.generation)


def _denied(denied: LeaseDenied) -> NoToken:
    match denied.reason:
        case Denial.COOLING:
            return no_token(Outcome.THROTTLED, "throttled", denied.until)
        case Denial.BUDGET:
            return no_token(Outcome.THROTTLED, "token_budget", denied.until)
        case Denial.GONE:
            return no_token(Outcome.UNAUTHORIZED, NO_CREDENTIALS)
        case Denial.HELD | Denial.RENEWED:
            return no_token(Outcome.UNAVAILABLE, "token_held", denied.until)
        case _:
            assert_never(denied.reason)


def _spread(org: Org, token: AccessToken) -> float:
    """In [0, 1): when in its range this token is due. Equal in all workers, so that none renews it earlier."""
    return crc32(f"{org.id}:{token.generation}".encode()) / 2**32
