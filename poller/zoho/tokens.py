"""One access token per org for the whole fleet: used while it lasts, renewed early, by one worker at a time.

The flow, over ports of the store and of the network: read the token kept; where it is due, take the lease (which
reserves an issue of the grant's budget), ask the token endpoint, believe or refuse what it says, save, let go. Who does
not get the lease waits for the holder's result, or uses the old token while it is good.

It refuses to ask without a lease, to ask again after a refusal or a throttling, to hold anything but the lease across
HTTP, to send a credential anywhere but in the form's body, and to use a token whose reply names an API domain that is
not Zoho's: such a reply is not Zoho's, so neither is its token, and sending it to the usual domain mends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never
from uuid import uuid4
from zlib import crc32

import structlog

from poller.core.datacenters import is_believable_api_domain
from poller.core.errors import CredentialError, MissingKeyError
from poller.core.model import Outcome
from poller.core.reply import LOCAL_FAILURES
from poller.core.secret import Secret
from poller.core.token import (
    KEY_MISSING,
    NO_CREDENTIALS,
    UNREADABLE,
    AccessToken,
    Denial,
    IssuedToken,
    Lease,
    ParkReason,
)
from poller.core.token_reply import Granted, Refused, Throttled, Unavailable, judge_token, refresh_at
from poller.log import bound
from poller.zoho.token_request import NoToken, no_token, token_form

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from poller.core.datacenters import DataCenter
    from poller.core.model import Org
    from poller.core.reply import NoReply, Reply
    from poller.core.token import (
        AcquireLease,
        CoolDown,
        LeaseDenied,
        Park,
        ReadCredentials,
        ReadToken,
        ReleaseLease,
        SaveRefreshToken,
        SaveToken,
        ShortenToken,
        StoredToken,
    )
    from poller.zoho.token_request import Form

__all__ = ["LEASE_SECONDS", "NoToken", "TokenPorts", "Tokens"]

LEASE_SECONDS: Final = 30.0
"""Twice the default request timeout: whoever holds a lease has its answer before the lease ends."""
LONGEST_COOL_DOWN_SECONDS: Final = 3_600.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
_LEASES_WAITED_FOR: Final = 2
_TIMES_ASKED: Final = 2
"""The second time only where the network or an edge failed: the next poll may be a quarter of an hour away."""
_BETWEEN_SECONDS: Final = 1.0
_END_TOLERANCE: Final = timedelta(minutes=1)
"""Clocks differ by less; a token is renewed minutes before its end anyhow."""
_MAY_PASS_AT_ONCE: Final = frozenset(
    {"dns", "refused", "reset", "proxy_dns", "proxy_unreachable", "http_500", "http_502", "http_503", "http_504"}
)

log = structlog.get_logger("poller.tokens")


@dataclass(frozen=True, slots=True)
class TokenPorts:
    """What the flow needs of the store, of the network and of time; the store's are described with their types."""

    read_credentials: ReadCredentials
    read: ReadToken
    acquire_lease: AcquireLease
    save: SaveToken
    release: ReleaseLease
    cool_down: CoolDown
    park: Park
    save_refresh_token: SaveRefreshToken
    post: Callable[[str, Form], Awaitable[Reply | NoReply]]
    """`post(accounts_server, form)`: one request to the token endpoint, the form in its body."""
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    shorten: ShortenToken | None = None
    """Where it is left out, a token that ends early is found out by being refused."""


class Tokens:
    """The access tokens of orgs in `data_centers`. `lease_seconds` is longer than a token request can take."""

    def __init__(
        self, ports: TokenPorts, data_centers: Mapping[str, DataCenter], *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._ports = ports
        self._data_centers = data_centers
        self._lease_seconds = lease_seconds
        self._reported: set[str] = set()

    async def get(self, org: Org, known: StoredToken | None = None) -> AccessToken | NoToken:
        """A token good for now: the one kept (`known`, where the caller has just read it), or a new one if it is due.

        A token that is due but not over stays in use where the next one cannot be had for a while.
        """

        async def flow(data_center: DataCenter) -> AccessToken | NoToken:
            stored = known or await self._ports.read(org.id)
            token = self._usable(stored, data_center)
            if token is None:
                return await self._obtain(org, data_center, stored.generation if stored else 0)
            if self._ports.now() < refresh_at(token.issued_at, token.expires_at, _spread(org, token)):
                return token
            found = await self._obtain(org, data_center, token.generation, wait=False)
            passes = isinstance(found, NoToken) and found.outcome is not Outcome.UNAUTHORIZED
            return token if passes and self._ports.now() < token.expires_at else found

        return await self._guarded(org, flow)

    async def renew(self, org: Org, stale: AccessToken) -> AccessToken | NoToken:
        """A token for one that Zoho called invalid: another worker's newer one, or a new one. Once per org and poll."""
        return await self._guarded(org, lambda data_center: self._obtain(org, data_center, stale.generation))

    async def set_expiry(self, org: Org, token: AccessToken, ends_at: datetime) -> None:
        """An API reply (X-ACCESSTOKEN-RESET) says when this token ends: earlier than was thought, and all are told."""
        early = token.expires_at - ends_at >= _END_TOLERANCE
        if early and token.generation and self._ports.shorten is not None:
            await self._ports.shorten(org.id, token.generation, ends_at)

    async def exchange(self, org: Org) -> AccessToken | NoToken:
        """The first token, for the org's grant code, which is replaced by a refresh token. Paced by onboarding."""
        return await self._guarded(org, lambda data_center: self._obtain(org, data_center, 0, exchange=True))

    async def _guarded(
        self, org: Org, flow: Callable[[DataCenter], Awaitable[AccessToken | NoToken]]
    ) -> AccessToken | NoToken:
        """One org's unreadable secret or unknown data centre is that org's trouble alone, so it is a value."""
        data_center = self._data_centers.get(org.data_center)
        if data_center is None:
            return no_token(Outcome.UNAUTHORIZED, "unknown_data_center")
        with bound(org=org.name):
            try:
                return await flow(data_center)
            except CredentialError as unreadable:
                return self._unopened(org, unreadable)

    def _unopened(self, org: Org, error: CredentialError) -> NoToken:
        """Not the org's fault, nor Zoho's, so it is not called unauthorized; logged once per key or org."""
        missing = isinstance(error, MissingKeyError)
        subject = error.key_id if isinstance(error, MissingKeyError) else f"org {org.id}"
        if subject not in self._reported:
            self._reported.add(subject)
            log.error("token.unreadable", org_id=org.id, what=error.what, remedy=error.remedy)
        return NoToken(Outcome.MISSED, KEY_MISSING if missing else UNREADABLE, error.remedy)

    async def _obtain(
        self, org: Org, data_center: DataCenter, seen_generation: int, *, wait: bool = True, exchange: bool = False
    ) -> AccessToken | NoToken:
        """A token of a later generation than the one seen, by our own asking or another worker's."""
        ports, seconds = self._ports, self._lease_seconds
        form = token_form(await ports.read_credentials(org.id), exchange=exchange)
        if isinstance(form, NoToken):
            return form
        give_up_at = ports.now() + timedelta(seconds=seconds * _LEASES_WAITED_FOR)
        pause, asked = FIRST_PAUSE_SECONDS, 0
        while True:
            lease = await ports.acquire_lease(org.id, uuid4(), seconds, seen_generation, ports.now())
            if isinstance(lease, Lease):
                asked += 1
                found = await self._ask(org, data_center, lease, exchange=exchange)
                # A grant code may be used up by a request whose answer was lost, and is paced besides.
                may_again = wait and not exchange and asked < _TIMES_ASKED
                if not (may_again and isinstance(found, NoToken) and found.ask_again):
                    return found
                await ports.sleep(_BETWEEN_SECONDS)
            elif lease.reason is Denial.RENEWED:
                stored = await ports.read(org.id)
                token = self._usable(stored, data_center)
                if token is not None:
                    return token
                if stored is not None and stored.generation <= seen_generation:
                    return no_token(Outcome.UNAVAILABLE, "token_held")
                # Gone again, as where new credentials were imported; or one that this process cannot use.
                seen_generation = stored.generation if stored is not None else seen_generation
            elif lease.reason is Denial.HELD and wait and ports.now() < give_up_at:
                # Zoho's answer is on its way to another worker: look again soon, at the latest when its lease ends.
                await ports.sleep(min(pause, max((lease.until - ports.now()).total_seconds(), FIRST_PAUSE_SECONDS)))
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            else:
                return _denied(lease)

    async def _ask(self, org: Org, data_center: DataCenter, lease: Lease, *, exchange: bool) -> AccessToken | NoToken:
        """One request under the lease; however it ends, the lease is let go.

        The credentials are read again: an import may have replaced them before the lease was taken. One that comes
        later ends the lease, and with it every effect of this answer.
        """
        ports, asked_at = self._ports, self._ports.now()
        try:
            form = token_form(await ports.read_credentials(org.id), exchange=exchange)
            if isinstance(form, NoToken):
                await ports.release(org.id, lease.holder)
                return form
            reply = await ports.post(data_center.accounts_server, form)
        except BaseException:
            await ports.release(org.id, lease.holder)
            raise
        verdict = judge_token(reply, ports.now())
        if isinstance(verdict, Granted):
            if "code" in form and verdict.refresh_token is None:
                return await self._park(org, lease, "no_refresh_token")
            return await self._keep(org, data_center, lease, verdict, asked_at, code=form.get("code"))
        if isinstance(verdict, Throttled):
            longer = min(verdict.cool_down_seconds * 2.0 ** min(lease.cool_downs, 8), LONGEST_COOL_DOWN_SECONDS)
            seconds = max(longer, verdict.cool_down_seconds)
            until = ports.now() + timedelta(seconds=seconds)
            await ports.cool_down(org.id, lease.holder, until)
            log.warning("token.throttled", org_id=org.id, cool_down_seconds=seconds)
            return no_token(Outcome.THROTTLED, verdict.code, until)
        match verdict:
            case Unavailable():
                await ports.release(org.id, lease.holder)
                log.warning("token.unavailable", org_id=org.id, error=verdict.code)
                again = verdict.code in _MAY_PASS_AT_ONCE and not verdict.wait_seconds
                outcome = Outcome.MISSED if verdict.code in LOCAL_FAILURES else Outcome.UNAVAILABLE
                return no_token(outcome, verdict.code, ask_again=again)
            case Refused():
                expired = verdict.code == "invalid_code" and "code" in form
                return await self._park(org, lease, "grant_code_expired" if expired else verdict.code)
            case _:
                assert_never(verdict)

    async def _keep(
        self,
        org: Org,
        data_center: DataCenter,
        lease: Lease,
        granted: Granted,
        asked_at: datetime,
        *,
        code: str | Secret | None,
    ) -> AccessToken | NoToken:
        """Believe what was granted or not; what is believed is kept, the refresh token first: it comes only once."""
        ports = self._ports
        api_domain = (granted.api_domain or data_center.api_domain).removesuffix("/")
        if not is_believable_api_domain(api_domain, data_center):
            await ports.release(org.id, lease.holder)
            log.error("token.forged_api_domain", org_id=org.id)
            return no_token(Outcome.MALFORMED, "forged_api_domain")
        if isinstance(code, Secret) and granted.refresh_token is not None:
            await ports.save_refresh_token(org.id, code, granted.refresh_token)
        expires_at = asked_at + timedelta(seconds=granted.expires_in_seconds)
        issued = IssuedToken(granted.access_token, api_domain, asked_at, expires_at)
        # Another worker may have the lease by now: then ours is good for this poll, and nobody else knows it.
        generation = await ports.save(org.id, lease.holder, issued) or 0
        log.info("token.refreshed", org_id=org.id, generation=generation, seconds=granted.expires_in_seconds)
        return AccessToken(issued.secret, api_domain, asked_at, expires_at, generation)

    async def _park(self, org: Org, lease: Lease, code: str) -> NoToken:
        ports, refused = self._ports, no_token(Outcome.UNAUTHORIZED, code)
        log.warning("token.refused", org_id=org.id, error=code)
        reason = ParkReason(code, refused.remedy, org.interval_seconds)
        await ports.park(org.id, lease.holder, reason, ports.now())
        await ports.release(org.id, lease.holder)
        return refused

    def _usable(self, stored: StoredToken | None, data_center: DataCenter) -> AccessToken | None:
        """The stored token, if it is not over and may be sent where it says."""
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
    """In [0, 1): where in its stretch this token is due. The same for all workers, so that none of them comes early."""
    return crc32(f"{org.id}:{token.generation}".encode()) / 2**32
