"""Why a request got no reply: one `Failure` for each error that aiohttp, TLS or the network may raise."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import aiohttp

from poller.core.reply import Failure
from poller.zoho.local_failures import local_failure
from poller.zoho.proxy import NoTunnelError

try:
    from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, LineTooLong, TransferEncodingError
except ImportError:  # no manual names these; without them a reply that cannot be read is `protocol`, or `reset`

    class HttpProcessingError(Exception):  # type: ignore[no-redef]
        """Never raised."""

    class LineTooLong(HttpProcessingError):  # type: ignore[no-redef]  # noqa: N818 - aiohttp's name
        """Never raised."""

    ContentLengthError = TransferEncodingError = LineTooLong  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.zoho.proxy import Proxy

# What aiohttp raises carries the request and its token along: it ends here, and only its kind goes on.
TROUBLE: Final = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError)
"""What a request may raise for the network's or the server's sake."""
# The first row that fits. What fits none speaks something else than HTTP.
_FAILURES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure], ...]] = (
    (TimeoutError, Failure.TIMEOUT),
    ((aiohttp.ClientConnectorDNSError, UnicodeError), Failure.DNS),  # a label too long for any name is a UnicodeError
    ((aiohttp.ClientSSLError, ssl.SSLError), Failure.TLS),
    (aiohttp.ClientConnectorError, Failure.REFUSED),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError), Failure.RESET),
)
_BROKEN_OFF: Final = (ContentLengthError, TransferEncodingError)  # the end came before the announced one
_BEFORE_CONNECTED: Final[Mapping[type[OSError], Failure]] = {
    TimeoutError: Failure.TIMEOUT,
    ConnectionResetError: Failure.RESET,
    BrokenPipeError: Failure.RESET,
}


def failure_of(trouble: Exception, proxy: Proxy | None) -> Failure:
    """The failure that one of `TROUBLE` stands for; `proxy` is the one that the request took."""
    if (failure := local_failure(trouble)) is not None:
        return failure
    if proxy is not None and (failure := _failure_of_proxy(trouble, proxy)) is not None:
        return failure
    cause = trouble if isinstance(trouble, HttpProcessingError) else trouble.__cause__
    if _is_caused_by(trouble, LineTooLong):
        return Failure.TOO_LARGE
    if isinstance(cause, HttpProcessingError) and not isinstance(cause, _BROKEN_OFF):
        return Failure.PROTOCOL
    failure = next((failure for kinds, failure in _FAILURES if isinstance(trouble, kinds)), Failure.PROTOCOL)
    if failure is Failure.REFUSED and isinstance(trouble, aiohttp.ClientConnectorError):
        return _BEFORE_CONNECTED.get(type(trouble.os_error), failure)
    return failure


def _failure_of_proxy(trouble: Exception, proxy: Proxy) -> Failure | None:
    """Why the proxy opened no tunnel; None where the cause lies behind it."""
    match trouble:
        case aiohttp.ClientHttpProxyError():
            return Failure.PROXY_LOGIN if trouble.status == 407 else Failure.PROXY_DENIED
        case NoTunnelError():
            return Failure.PROXY_DENIED
        case aiohttp.ClientProxyConnectionError():
            return Failure.PROXY_UNREACHABLE
        case aiohttp.ClientConnectorDNSError() if trouble.host == proxy.url.host:
            return Failure.PROXY_DNS
        case _:
            return None


def _is_caused_by(trouble: BaseException | None, kind: type[Exception]) -> bool:
    while trouble is not None:
        if isinstance(trouble, kind):
            return True
        trouble = trouble.__cause__
    return False
