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
except ImportError:  # undocumented; without these classes an unreadable reply is `protocol` or `reset`

    class HttpProcessingError(Exception):  # type: ignore[no-redef]
        """Stands in for aiohttp's class; never raised."""

    class LineTooLong(HttpProcessingError):  # type: ignore[no-redef]  # noqa: N818 - aiohttp's name
        """Stands in for aiohttp's class; never raised."""

    ContentLengthError = TransferEncodingError = LineTooLong  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.zoho.proxy import Proxy

# Exceptions of aiohttp contain the request and its token, so they end here; callers get a `Failure`.
REQUEST_ERRORS: Final = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError)
"""What a request may raise when the network or the server fails."""
# The first row that matches applies; without one, the server does not speak HTTP.
_FAILURES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure], ...]] = (
    (TimeoutError, Failure.TIMEOUT),
    (
        (aiohttp.ClientConnectorDNSError, UnicodeError),
        Failure.DNS,
    ),  # a name with a label that is too long raises UnicodeError
    ((aiohttp.ClientSSLError, ssl.SSLError), Failure.TLS),
    (aiohttp.ClientConnectorError, Failure.REFUSED),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError), Failure.RESET),
)
_CUT_SHORT: Final = (ContentLengthError, TransferEncodingError)  # the body ended before its announced end
_BEFORE_CONNECTED: Final[Mapping[type[OSError], Failure]] = {
    TimeoutError: Failure.TIMEOUT,
    ConnectionResetError: Failure.RESET,
    BrokenPipeError: Failure.RESET,
}


def failure_of(error: Exception, proxy: Proxy | None) -> Failure:
    """The failure that an exception of `REQUEST_ERRORS` stands for; `proxy` is the one that the request used."""
    if (failure := local_failure(error)) is not None:
        return failure
    if proxy is not None and (failure := _failure_of_proxy(error, proxy)) is not None:
        return failure
    cause = error if isinstance(error, HttpProcessingError) else error.__cause__
    if _is_caused_by(error, LineTooLong):
        return Failure.TOO_LARGE
    if isinstance(cause, HttpProcessingError) and not isinstance(cause, _CUT_SHORT):
        return Failure.PROTOCOL
    failure = next((failure for kinds, failure in _FAILURES if isinstance(error, kinds)), Failure.PROTOCOL)
    if failure is Failure.REFUSED and isinstance(error, aiohttp.ClientConnectorError):
        return _BEFORE_CONNECTED.get(type(error.os_error), failure)
    return failure


def _failure_of_proxy(error: Exception, proxy: Proxy) -> Failure | None:
    """Why the proxy opened no tunnel; None if the failure is not the proxy's."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return Failure.PROXY_LOGIN if error.status == 407 else Failure.PROXY_DENIED
        case NoTunnelError():
            return Failure.PROXY_DENIED
        case aiohttp.ClientProxyConnectionError():
            return Failure.PROXY_UNREACHABLE
        case aiohttp.ClientConnectorDNSError() if error.host == proxy.url.host:
            return Failure.PROXY_DNS
        case _:
            return None


def _is_caused_by(error: BaseException | None, kind: type[Exception]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__
    return False
