"""One request to Zoho, one value back: a `Reply`, or a `NoReply` that says why none came.

Refuses to: raise for the network's or Zoho's trouble (a cancellation passes); follow a redirect, obey a proxy that no
setting names or keep a cookie; put a credential into a URL; go on without a verified certificate; read more than 64 kB
or for longer than the request timeout, from start to last byte; retry on its own account.
"""

from __future__ import annotations

import math
import re
import ssl
from contextlib import asynccontextmanager, closing
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, LineTooLong, TransferEncodingError
from yarl import URL

from poller import __version__
from poller.core.model import API_VERSION
from poller.core.reply import HEADERS_READ, Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.zoho.connections import Connector
from poller.zoho.local_failures import local_failure
from poller.zoho.proxy import proxy_for
from poller.zoho.transport import LARGEST_BODY, LARGEST_HEADER, Question, Wire, question, read_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver
    from multidict import CIMultiDictProxy

    from poller.core.model import UserType
    from poller.zoho.proxy import Proxy

__all__ = ["LARGEST_BODY", "ZohoClient", "open_client"]

_DNS_SECONDS: Final = 300
_KEEP_ALIVE_SECONDS: Final = 30.0
_VERSION: Final = re.compile(API_VERSION)
# The first row that fits. What fits none speaks something else than HTTP.
_FAILURES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure], ...]] = (
    (TimeoutError, Failure.TIMEOUT),
    ((aiohttp.ClientConnectorDNSError, UnicodeError), Failure.DNS),  # a label too long for any name is a UnicodeError
    ((aiohttp.ClientSSLError, ssl.SSLError), Failure.TLS),
    (aiohttp.ClientConnectorError, Failure.REFUSED),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError), Failure.RESET),
)
# What aiohttp raises carries the request and its token along: it ends here, and only its kind goes on.
_TROUBLE: Final = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError)
_BROKEN_OFF: Final = (ContentLengthError, TransferEncodingError)  # the end came before the announced one
_BEFORE_CONNECTED: Final[Mapping[type[OSError], Failure]] = {
    TimeoutError: Failure.TIMEOUT,
    ConnectionResetError: Failure.RESET,
    BrokenPipeError: Failure.RESET,
}


class ZohoClient:
    """Asks Zoho, over one pool of kept-alive connections. Made by `open_client`."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, proxy_for: Callable[[URL], Proxy | None]) -> None:
        self._session = session
        self._wire = wire
        self._proxy_for = proxy_for
        # Ten per API domain and version; making one costs more than judging its reply.
        self._count_question = lru_cache(maxsize=1_024)(self._make_count_question)

    async def count(self, api_domain: str, version: str, user_type: UserType, access_token: Secret) -> Reply | NoReply:
        """`GET /crm/{version}/users/actions/count`: costs the org one credit."""
        try:
            asked = self._count_question(api_domain, version, user_type)
            answer = await self._wire.get(asked, f"Zoho-oauthtoken {access_token.reveal()}")
        except _TROUBLE as trouble:
            return NoReply(_failure(trouble, self._proxy_for(_url(api_domain))))
        return _reply(answer.status, answer.headers, answer.body)

    async def get(self, api_domain: str, path: str, access_token: Secret) -> Reply | NoReply:
        """Any other GET of the API; `path` as it is sent, `/crm/v7/org`."""
        return await self._ask("GET", _url(api_domain + path), _authorization(access_token))

    async def head(self, origin: str) -> Reply | NoReply:
        """`HEAD /` of a server, without a credential. The reply has no body, and of its headers `date` alone."""
        return await self._ask("HEAD", _url(f"{origin}/"), None, headers_read=("date",))

    async def post_token(self, accounts_server: str, form: Mapping[str, str | Secret]) -> Reply | NoReply:
        """`POST /oauth/v2/token`, the credentials in the body alone. The reply's body may hold a token."""
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        return await self._ask("POST", _url(f"{accounts_server}/oauth/v2/token"), None, fields)

    def _make_count_question(self, api_domain: str, version: str, user_type: UserType) -> Question:
        if not _VERSION.fullmatch(version):
            raise ValueError(f"{version!r} is no API version: v7 is one")
        url = _url(f"{api_domain}/crm/{version}/users/actions/count?type={user_type.value}")
        return question(url, _Request, self._proxy_for(url))

    async def _ask(
        self,
        method: str,
        url: URL,
        headers: dict[str, str] | None,
        form: dict[str, str] | None = None,
        headers_read: Sequence[str] = HEADERS_READ,
    ) -> Reply | NoReply:
        proxy = self._proxy_for(url)
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=form,
                allow_redirects=False,
                proxy=proxy and proxy.url,
                proxy_headers=proxy and proxy.headers,
            ) as response:
                # The length of what a HEAD does not send is not ours to judge.
                body = b"" if method == "HEAD" else await read_body(response.content, response.headers)
                if body is None:
                    response.close()
        except _TROUBLE as trouble:
            return NoReply(_failure(trouble, proxy))
        return _reply(response.status, response.headers, body, headers_read)


@asynccontextmanager
async def open_client(
    *,
    connections: int,
    request_timeout_seconds: float,
    trust: ssl.SSLContext | None = None,
    resolver: AbstractResolver | None = None,
    proxy: Secret | None = None,
) -> AsyncIterator[ZohoClient]:
    """A client with up to `connections` connections: no fewer than requests in flight, or they wait for one another.

    `trust` replaces the system's certificate authorities; one that verifies nothing is a `ValueError`. `proxy` is the
    value of POLLER_PROXY.
    """
    trust = trust or ssl.create_default_context()
    if trust.verify_mode is not ssl.CERT_REQUIRED or not trust.check_hostname:
        raise ValueError("a TLS context that does not verify certificates and host names is refused")
    connector = Connector(
        ssl=trust,
        limit=connections,
        ttl_dns_cache=_DNS_SECONDS,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        resolver=resolver,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=_Request,
        timeout=aiohttp.ClientTimeout(total=request_timeout_seconds, ceil_threshold=math.inf),  # exact, not rounded up
        trust_env=False,
        max_line_size=LARGEST_HEADER,
        max_field_size=LARGEST_HEADER,
    ) as session:
        # aiohttp would send a broken GET a second time: a credit nobody counted, and past the org's limiter.
        session._retry_connection = False  # noqa: SLF001 - it has no public switch
        with closing(Wire(connector, request_timeout_seconds)) as wire:
            yield ZohoClient(session, wire, proxy_for(proxy))


class _Request(aiohttp.ClientRequest):
    """Headers that never change, where they cost least: on the session they take a tenth of all throughput."""

    DEFAULT_HEADERS: ClassVar = {  # type: ignore[misc]
        hdrs.ACCEPT: "application/json",
        hdrs.ACCEPT_ENCODING: "identity",  # a dozen bytes: nothing to gain, and no bomb to unpack
        hdrs.USER_AGENT: f"zoho-user-count-poller/{__version__}",
    }


def _authorization(access_token: Secret) -> dict[str, str]:
    return {hdrs.AUTHORIZATION: f"Zoho-oauthtoken {access_token.reveal()}"}


def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _reply(
    status: int, headers: CIMultiDictProxy[str], body: bytes | None, headers_read: Sequence[str] = HEADERS_READ
) -> Reply | NoReply:
    if body is None:
        return NoReply(Failure.TOO_LARGE)
    return Reply(status, body, {name: headers[name] for name in headers_read if name in headers})


def _is_caused_by(trouble: BaseException | None, kind: type[Exception]) -> bool:
    while trouble is not None:
        if isinstance(trouble, kind):
            return True
        trouble = trouble.__cause__
    return False


def _failure(trouble: Exception, proxy: Proxy | None) -> Failure:
    if (failure := local_failure(trouble)) is not None:
        return failure
    if proxy is not None and (failure := _failure_of_proxy(trouble, proxy)) is not None:
        return failure
    told = trouble if isinstance(trouble, HttpProcessingError) else trouble.__cause__
    if _is_caused_by(trouble, LineTooLong):
        return Failure.TOO_LARGE
    if isinstance(told, HttpProcessingError) and not isinstance(told, _BROKEN_OFF):
        return Failure.PROTOCOL
    failure = next((failure for kinds, failure in _FAILURES if isinstance(trouble, kinds)), Failure.PROTOCOL)
    if failure is Failure.REFUSED and isinstance(trouble, aiohttp.ClientConnectorError):
        return _BEFORE_CONNECTED.get(type(trouble.os_error), failure)
    return failure


def _failure_of_proxy(trouble: Exception, proxy: Proxy) -> Failure | None:
    """Why the proxy opened no way; None where the trouble lies behind it."""
    match trouble:
        case aiohttp.ClientHttpProxyError():
            return Failure.PROXY_LOGIN if trouble.status == 407 else Failure.PROXY_DENIED
        case aiohttp.ClientProxyConnectionError():
            return Failure.PROXY_UNREACHABLE
        case aiohttp.ClientConnectorDNSError() if trouble.host == proxy.url.host:
            return Failure.PROXY_DNS
        case _:
            return None
