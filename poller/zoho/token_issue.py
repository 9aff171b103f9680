"""Requests one access token from Zoho's token endpoint under a lease, and saves it, cools down or parks the org.

The caller holds the lease, and every path here ends it. Refuses to: request a token a second time; use a token whose
reply names an API domain that is not Zoho's. Such a reply is not Zoho's, so neither is its token, and sending the token
to the usual domain would not help.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

import structlog

from poller.core.datacenters import is_believable_api_domain
from poller.core.model import Outcome
from poller.core.reply import LOCAL_FAILURES
from poller.core.secret import Secret
from poller.core.token import AccessToken, IssuedToken, ParkReason
from poller.core.token_reply import Granted, Refused, Throttled, Unavailable, classify_token_reply
from poller.zoho.token_request import NoToken, no_token, token_form

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from poller.core.datacenters import DataCenter
    from poller.core.model import Org
    from poller.core.reply import NoReply, Reply
    from poller.core.token import (
        AcquireLease,
        CoolDown,
        ExpireTokenEarly,
        Lease,
        Park,
        ReadCredentials,
        ReadToken,
        ReleaseLease,
        SaveRefreshToken,
        SaveToken,
    )
    from poller.zoho.token_request import Form

MAX_COOL_DOWN_SECONDS: Final = 3_600.0
_RETRY_SOON: Final = frozenset(
    {"dns", "refused", "reset", "proxy_dns", "proxy_unreachable", "http_500", "http_502", "http_503", "http_504"}
)
"""Codes of failures that may be over within a second."""

log = structlog.get_logger("poller.tokens")


@dataclass(frozen=True, slots=True)
class TokenPorts:
    """The I/O that tokens need, as functions. Those of the store are described with their types in `core.token`."""

    read_credentials: ReadCredentials
    read: ReadToken
    acquire_lease: AcquireLease
    save: SaveToken
    release: ReleaseLease
    cool_down: CoolDown
    park: Park
    save_refresh_token: SaveRefreshToken
    post: Callable[[str, Form], Awaitable[Reply | NoReply]]
    """`post(accounts_server, form)`: one request to the token endpoint, with the form in its body."""
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    expire_early: ExpireTokenEarly | None = None
    """Without this port, a token that ends early stays in use until Zoho refuses it."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request for the token of one org, under a lease."""

    ports: TokenPorts
    org: Org
    data_center: DataCenter
    lease: Lease

    async def send(self, *, exchange: bool) -> AccessToken | NoToken:
        """Send the request and act on the reply; the lease ends in every case.

        The credentials are read again, because an import may have replaced them before the lease was taken. An import
        after that ends the lease, and then this reply has no effect.
        """
        ports, requested_at = self.ports, self.ports.now()
        try:
            form = token_form(await ports.read_credentials(self.org.id), exchange=exchange)
            if isinstance(form, NoToken):
                await self._release()
                return form
            reply = await ports.post(self.data_center.accounts_server, form)
        except BaseException:
            await self._release()
            raise
        result = classify_token_reply(reply, ports.now())
        match result:
            case Granted():
                if "code" in form and result.refresh_token is None:
                    return await self._park("no_refresh_token")
                return await self._save(result, requested_at, code=form.get("code"))
            case Throttled():
                return await self._cool_down(result)
            case Unavailable():
                return await self._give_up(result)
            case Refused():
                expired = result.code == "invalid_code" and "code" in form
                return await self._park("grant_code_expired" if expired else result.code)
            case _:
                assert_never(result)

    async def _save(
        self, granted: Granted, requested_at: datetime, *, code: str | Secret | None
    ) -> AccessToken | NoToken:
        """Check the API domain, then save the refresh token before the access token: Zoho sends it only once."""
        ports, org = self.ports, self.org
        api_domain = (granted.api_domain or self.data_center.api_domain).removesuffix("/")
        if not is_believable_api_domain(api_domain, self.data_center):
            await self._release()
            log.error("token.forged_api_domain", org_id=org.id)
            return no_token(Outcome.MALFORMED, "forged_api_domain")
        if isinstance(code, Secret) and granted.refresh_token is not None:
            await ports.save_refresh_token(org.id, code, granted.refresh_token)
        expires_at = requested_at + timedelta(seconds=granted.expires_in_seconds)
        issued = IssuedToken(granted.access_token, api_domain, requested_at, expires_at)
        # Another worker may have the lease by now. Then this token is valid for this poll, and no other process has it.
        generation = await ports.save(org.id, self.lease.holder, issued) or 0
        log.info("token.refreshed", org_id=org.id, generation=generation, seconds=granted.expires_in_seconds)
        return AccessToken(issued.secret, api_domain, requested_at, expires_at, generation)

    async def _cool_down(self, throttled: Throttled) -> NoToken:
        """Each cool-down in a row is twice as long as the one before, up to an hour."""
        least = throttled.cool_down_seconds
        seconds = max(min(least * 2.0 ** min(self.lease.cool_downs, 8), MAX_COOL_DOWN_SECONDS), least)
        until = self.ports.now() + timedelta(seconds=seconds)
        await self.ports.cool_down(self.org.id, self.lease.holder, until)
        log.warning("token.throttled", org_id=self.org.id, cool_down_seconds=seconds)
        return no_token(Outcome.THROTTLED, throttled.code, until)

    async def _give_up(self, failed: Unavailable) -> NoToken:
        await self._release()
        log.warning("token.unavailable", org_id=self.org.id, error=failed.code)
        retry = failed.code in _RETRY_SOON and not failed.wait_seconds
        outcome = Outcome.MISSED if failed.code in LOCAL_FAILURES else Outcome.UNAVAILABLE
        return no_token(outcome, failed.code, retry=retry)

    async def _park(self, code: str) -> NoToken:
        refused = no_token(Outcome.UNAUTHORIZED, code)
        log.warning("token.refused", org_id=self.org.id, error=code)
        reason = ParkReason(code, refused.remedy, self.org.interval_seconds)
        await self.ports.park(self.org.id, self.lease.holder, reason, self.ports.now())
        await self._release()
        return refused

    async def _release(self) -> None:
        await self.ports.release(self.org.id, self.lease.holder)
