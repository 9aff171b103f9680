"""The fast transport: sends a plain GET over a connection of aiohttp's pool and reads the reply with aiohttp's parser.

aiohttp's session does for each request what a browser may need: cookies, redirects, proxies, hooks and half a dozen
objects. A count needs none of that, and it would be half of what a count costs (docs/adr/0009). Connection pool, TLS,
name resolution, parsing and exceptions are aiohttp's. aiohttp's manual does not promise the names used here, so
`client_mode` checks them first.

Refuses to: send a request twice; interpret a reply; return a connection to the pool before its reply has been read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs

from poller.zoho.incompatibility import UNEXPECTED, IncompatibleError, place_of
from poller.zoho.session import HEADERS, MAX_HEADER, RawResponse, read_body
from poller.zoho.shared_timeout import SharedTimeout

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from yarl import URL

    from poller.zoho.proxy import Proxy

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # of the pool: `get` has a timeout for the whole request
_SWITCHING: Final = 101


class PreparedRequest(NamedTuple):
    """A GET that is sent many times: its origin, for the pool, and its bytes without the `Authorization` header."""

    origin: aiohttp.ClientRequest
    head: bytes


def prepare(url: URL, proxy: Proxy | None = None) -> PreparedRequest:
    """Prepares a GET of `url` with the headers of every request. Needs a running event loop."""
    origin = aiohttp.ClientRequest(
        hdrs.METH_GET,
        url,
        headers=HEADERS,
        loop=asyncio.get_running_loop(),
        proxy=proxy and proxy.url,
        proxy_headers=proxy and proxy.headers,
    )
    lines = [f"GET {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in origin.headers.items())]
    return PreparedRequest(origin, "".join(f"{line}\r\n" for line in lines).encode("ascii"))


class Transport:
    """Sends GETs over one pool; `timeout_seconds` is for the whole request, to the last byte of the reply."""

    def __init__(self, connector: aiohttp.BaseConnector, timeout_seconds: float) -> None:
        self._connector = connector
        self._timeout = SharedTimeout(timeout_seconds)

    def close(self) -> None:
        """Stop the timer: no request is running any more."""
        self._timeout.close()

    async def get(self, request: PreparedRequest, authorization: str) -> RawResponse:
        """Send the request with this `Authorization`, which must be printable ASCII.

        Raises what aiohttp raises, `TimeoutError`, and `IncompatibleError`.
        """
        sent = False
        try:
            with self._timeout.start():
                connection = await self._connector.connect(request.origin, [], _NO_TIMEOUT)
                try:
                    protocol, transport = _ready(connection)
                    sent = True
                    transport.write(b"%bAuthorization: %b\r\n\r\n" % (request.head, authorization.encode()))
                    message, content = await protocol.read()
                    while message.code < 200 and message.code != _SWITCHING:
                        message, content = await protocol.read()
                    body = await read_body(content, message.headers)
                except BaseException:
                    connection.close()
                    raise
                if body is None:
                    connection.close()
                # Back to the pool, or closed if the body has not been read to its end.
                connection.release()
                return RawResponse(message.code, message.headers, body)
        except UNEXPECTED as changed:
            raise IncompatibleError(place_of(changed), sent=sent) from changed


def _ready(connection: aiohttp.connector.Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    protocol = connection.protocol
    transport = connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection was closed")
    protocol.set_response_params(
        read_until_eof=True, auto_decompress=False, max_line_size=MAX_HEADER, max_field_size=MAX_HEADER
    )
    return protocol, transport
