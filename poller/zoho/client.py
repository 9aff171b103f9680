"""The HTTP client for Zoho: each request returns a `Reply`, or a `NoReply` with the reason why there is none.

Refuses to: raise for failures of the network or of Zoho (a cancellation passes); follow a redirect, use a proxy that no
setting names or keep a cookie; put a credential into a URL; send a request without a verified certificate; read more
than 64 kB, or for longer than the request timeout; retry.
"""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import structlog
from aiohttp import hdrs
from yarl import URL

from poller.core.model import API_VERSION
from poller.core.reply import HEADERS_READ, Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.zoho.client_mode import ClientMode, usable_mode
from poller.zoho.connections import Connector
from poller.zoho.incompatibility import UNEXPECTED, IncompatibleError, place_of
from poller.zoho.proxy import proxy_for
from poller.zoho.request_failures import REQUEST_ERRORS, failure_of
from poller.zoho.session import MAX_BODY, open_session
from poller.zoho.transport import Transport, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver

    from poller.core.model import UserType
    from poller.zoho.proxy import Proxy
    from poller.zoho.session import RawResponse, Session
    from poller.zoho.transport import PreparedRequest

__all__ = ["MAX_BODY", "ClientMode", "ZohoClient", "open_client"]

_DNS_SECONDS: Final = 300
_KEEP_ALIVE_SECONDS: Final = 30.0
_VERSION: Final = re.compile(API_VERSION)

log = structlog.get_logger("poller.zoho")


class ZohoClient:
    """Sends requests to Zoho over one pool of kept-alive connections. Created by `open_client`."""

    def __init__(
        self,
        proxy_for: Callable[[URL], Proxy | None],
        single_use: Session,
        kept: Session | None,
        fast: Transport | None,
    ) -> None:
        self._proxy_for = proxy_for
        self._single_use = single_use
        self._kept = kept
        self._fast = fast
        self._reported: set[str] = set()
        # Ten per API domain and version; preparing a request costs more than classifying its reply.
        self._count_url = lru_cache(maxsize=1_024)(_count_url)
        self._count_request = lru_cache(maxsize=1_024)(self._prepare_count)

    @property
    def mode(self) -> ClientMode:
        """How this client sends counts now."""
        if self._fast is not None:
            return ClientMode.FAST
        return ClientMode.SINGLE_USE if self._kept is None else ClientMode.SESSION

    async def count(self, api_domain: str, version: str, user_type: UserType, access_token: Secret) -> Reply | NoReply:
        """`GET /crm/{version}/users/actions/count`: costs the org one credit."""
        if self._fast is not None:
            try:
                request = self._count_request(api_domain, version, user_type)
                response = await self._fast.get(request, _authorization(access_token))
            except REQUEST_ERRORS as error:
                return NoReply(failure_of(error, self._proxy_for(_url(api_domain))))
            except IncompatibleError as changed:
                self._step_down(str(changed), keep_pool=changed.guarded)
                if changed.sent:
                    return NoReply(Failure.PROTOCOL)
            else:
                return _reply(response)
        return await self._send("GET", self._count_url(api_domain, version, user_type), access_token)

    async def get(self, api_domain: str, path: str, access_token: Secret) -> Reply | NoReply:
        """Any other GET of the API; `path` is sent as it is: `/crm/v7/org`."""
        return await self._send("GET", _url(api_domain + path), access_token)

    async def head(self, origin: str) -> Reply | NoReply:
        """`HEAD /` of a server, without a credential. The reply has no body, and only the header `date`."""
        return await self._send("HEAD", _url(f"{origin}/"), None, headers_read=("date",))

    async def post_token(self, accounts_server: str, form: Mapping[str, str | Secret]) -> Reply | NoReply:
        """`POST /oauth/v2/token` with the credentials in the body only. The body of the reply may contain a token."""
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        return await self._send("POST", _url(f"{accounts_server}/oauth/v2/token"), None, fields)

    def _prepare_count(self, api_domain: str, version: str, user_type: UserType) -> PreparedRequest:
        url = self._count_url(api_domain, version, user_type)
        try:
            return prepare(url, self._proxy_for(url))
        except UNEXPECTED as changed:
            raise IncompatibleError(place_of(changed)) from changed

    async def _send(
        self,
        method: str,
        url: URL,
        access_token: Secret | None,
        form: dict[str, str] | None = None,
        headers_read: Sequence[str] = HEADERS_READ,
    ) -> Reply | NoReply:
        proxy = self._proxy_for(url)
        headers: dict[str, str] | None = (
            None if access_token is None else {hdrs.AUTHORIZATION: _authorization(access_token)}
        )
        try:
            try:
                session = self._kept or self._single_use
                response = await session.request(method, url, headers=headers, form=form, proxy=proxy)
            except IncompatibleError as changed:
                self._step_down(str(changed), keep_pool=False)
                response = await self._single_use.request(method, url, headers=headers, form=form, proxy=proxy)
            except UNEXPECTED as changed:
                # The request may have been sent. The next attempt, which the limiter counts, uses a new connection.
                self._step_down(place_of(changed), keep_pool=False)
                return NoReply(Failure.PROTOCOL)
        except REQUEST_ERRORS as error:
            return NoReply(failure_of(error, proxy))
        return _reply(response, headers_read)

    def _step_down(self, why: str, *, keep_pool: bool) -> None:
        """From now on, send through the session; without `keep_pool`, each request on a new connection."""
        before = self.mode
        self._fast = None
        if not keep_pool:
            self._kept = None
        if self.mode is before and (before is not ClientMode.SINGLE_USE or why in self._reported):
            return
        self._reported.add(why)
        _log_mode(self.mode, why)


@cache
def system_trust() -> ssl.SSLContext:
    """The certificate authorities of the system, read once in a process because that takes 20 ms."""
    return ssl.create_default_context()


@asynccontextmanager
async def open_client(
    *,
    connections: int,
    request_timeout_seconds: float,
    trust: ssl.SSLContext | None = None,
    resolver: AbstractResolver | None = None,
    proxy: Secret | None = None,
    fastest: ClientMode = ClientMode.FAST,
) -> AsyncIterator[ZohoClient]:
    """Opens a client with up to `connections` connections: with fewer than requests in flight, requests would wait.

    `trust` replaces the system's certificate authorities; one that verifies nothing is a `ValueError`. `proxy` is the
    value of POLLER_PROXY. No mode faster than `fastest` is tried.
    """
    trust = trust or system_trust()
    if trust.verify_mode is not ssl.CERT_REQUIRED or not trust.check_hostname:
        raise ValueError("a TLS context that does not verify certificates and host names is refused")
    options: dict[str, Any] = {"ssl": trust, "limit": connections, "ttl_dns_cache": _DNS_SECONDS, "resolver": resolver}
    found = await usable_mode(fastest)
    if found.why is not None:
        _log_mode(found.mode, found.why)
    async with AsyncExitStack() as stack:
        pool = aiohttp.TCPConnector(force_close=True, **options)
        single_use = await stack.enter_async_context(open_session(pool, request_timeout_seconds))
        kept = fast = None
        if found.mode is not ClientMode.SINGLE_USE:
            pool = Connector(keepalive_timeout=_KEEP_ALIVE_SECONDS, **options)
            kept = await stack.enter_async_context(open_session(pool, request_timeout_seconds))
        if found.mode is ClientMode.FAST:
            fast = stack.enter_context(closing(Transport(pool, request_timeout_seconds)))
        yield ZohoClient(proxy_for(proxy), single_use, kept, fast)


def _log_mode(mode: ClientMode, why: str) -> None:
    log.warning("transport.ordinary", mode=mode.value, why=why, aiohttp=aiohttp.__version__)


def _authorization(access_token: Secret) -> str:
    value = f"Zoho-oauthtoken {access_token.reveal()}"
    if not (value.isascii() and value.isprintable()):
        raise ValueError("an access token with control characters could start another request")
    return value


def _count_url(api_domain: str, version: str, user_type: UserType) -> URL:
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not an API version such as v7")
    return _url(f"{api_domain}/crm/{version}/users/actions/count?type={user_type.value}")


def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _reply(response: RawResponse, headers_read: Sequence[str] = HEADERS_READ) -> Reply | NoReply:
    if response.body is None:
        return NoReply(Failure.TOO_LARGE)
    headers = {name: response.headers[name] for name in headers_read if name in response.headers}
    return Reply(response.status, response.body, headers)
