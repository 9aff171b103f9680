"""One request to Zoho, one value back: a `Reply`, or a `NoReply` that says why none came.

Refuses to: raise for failures of the network or of Zoho (a cancellation passes); follow a redirect, obey a proxy that
no setting names or keep a cookie; put a credential into a URL; go on without a verified certificate; read more than
64 kB or for longer than the request timeout, from start to last byte; retry on its own account.
"""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import lru_cache
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
from poller.zoho.request_failures import TROUBLE, failure_of
from poller.zoho.session import LARGEST_BODY, open_session
from poller.zoho.transport import Transport, question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver

    from poller.core.model import UserType
    from poller.zoho.proxy import Proxy
    from poller.zoho.session import Answer, Session
    from poller.zoho.transport import PreparedRequest

__all__ = ["LARGEST_BODY", "ClientMode", "ZohoClient", "open_client"]

_DNS_SECONDS: Final = 300
_KEEP_ALIVE_SECONDS: Final = 30.0
_VERSION: Final = re.compile(API_VERSION)

log = structlog.get_logger("poller.zoho")


class ZohoClient:
    """Asks Zoho, over one pool of kept-alive connections. Made by `open_client`."""

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
        # Ten per API domain and version; making one costs more than judging its reply.
        self._count_url = lru_cache(maxsize=1_024)(_count_url)
        self._count_question = lru_cache(maxsize=1_024)(self._make_count_question)

    @property
    def mode(self) -> ClientMode:
        """How counts are sent at present."""
        if self._fast is not None:
            return ClientMode.FAST
        return ClientMode.SINGLE_USE if self._kept is None else ClientMode.SESSION

    async def count(self, api_domain: str, version: str, user_type: UserType, access_token: Secret) -> Reply | NoReply:
        """`GET /crm/{version}/users/actions/count`: costs the org one credit."""
        if self._fast is not None:
            try:
                asked = self._count_question(api_domain, version, user_type)
                answer = await self._fast.get(asked, _authorization(access_token))
            except TROUBLE as trouble:
                return NoReply(failure_of(trouble, self._proxy_for(_url(api_domain))))
            except IncompatibleError as changed:
                self._step_down(str(changed), keep_pool=changed.guarded)
                if changed.sent:
                    return NoReply(Failure.PROTOCOL)
            else:
                return _reply(answer)
        return await self._ask("GET", self._count_url(api_domain, version, user_type), access_token)

    async def get(self, api_domain: str, path: str, access_token: Secret) -> Reply | NoReply:
        """Any other GET of the API; `path` as it is sent, `/crm/v7/org`."""
        return await self._ask("GET", _url(api_domain + path), access_token)

    async def head(self, origin: str) -> Reply | NoReply:
        """`HEAD /` of a server, without a credential. The reply has no body, and of its headers `date` alone."""
        return await self._ask("HEAD", _url(f"{origin}/"), None, headers_read=("date",))

    async def post_token(self, accounts_server: str, form: Mapping[str, str | Secret]) -> Reply | NoReply:
        """`POST /oauth/v2/token`, the credentials in the body alone. The reply's body may hold a token."""
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        return await self._ask("POST", _url(f"{accounts_server}/oauth/v2/token"), None, fields)

    def _make_count_question(self, api_domain: str, version: str, user_type: UserType) -> PreparedRequest:
        url = self._count_url(api_domain, version, user_type)
        try:
            return question(url, self._proxy_for(url))
        except UNEXPECTED as changed:
            raise IncompatibleError(place_of(changed)) from changed

    async def _ask(
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
                answer = await session.ask(method, url, headers=headers, form=form, proxy=proxy)
            except IncompatibleError as changed:
                self._step_down(str(changed), keep_pool=False)
                answer = await self._single_use.ask(method, url, headers=headers, form=form, proxy=proxy)
            except UNEXPECTED as changed:
                # It may have been sent: the next attempt, which the limiter counts, has a connection of its own.
                self._step_down(place_of(changed), keep_pool=False)
                return NoReply(Failure.PROTOCOL)
        except TROUBLE as trouble:
            return NoReply(failure_of(trouble, proxy))
        return _reply(answer, headers_read)

    def _step_down(self, why: str, *, keep_pool: bool) -> None:
        """From now on send by the session; without `keep_pool`, each request on a connection of its own."""
        before = self.mode
        self._fast = None
        if not keep_pool:
            self._kept = None
        if self.mode is before and (before is not ClientMode.SINGLE_USE or why in self._reported):
            return
        self._reported.add(why)
        _log_mode(self.mode, why)


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
    """A client with up to `connections` connections: no fewer than requests in flight, or they wait for one another.

    `trust` replaces the system's certificate authorities; one that verifies nothing is a `ValueError`. `proxy` is the
    value of POLLER_PROXY. A mode faster than `fastest` is not tried.
    """
    trust = trust or ssl.create_default_context()
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
        raise ValueError("a header with control characters would be another request")
    return value


def _count_url(api_domain: str, version: str, user_type: UserType) -> URL:
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not an API version such as v7")
    return _url(f"{api_domain}/crm/{version}/users/actions/count?type={user_type.value}")


def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _reply(answer: Answer, headers_read: Sequence[str] = HEADERS_READ) -> Reply | NoReply:
    if answer.body is None:
        return NoReply(Failure.TOO_LARGE)
    headers = {name: answer.headers[name] for name in headers_read if name in answer.headers}
    return Reply(answer.status, answer.body, headers)
