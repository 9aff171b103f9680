"""One GET as plain as HTTP has it, over a connection of aiohttp's pool, its reply read by aiohttp's parser.

A session does for each request what a browser may need: cookies, redirects, proxies, hooks, half a dozen objects. A
count needs nothing like that, and it would be half of what a count costs (docs/adr/0009). Pool, TLS, names and parsing
stay aiohttp's, and so does everything it raises. No manual promises the names used here: `client_mode` checks them
first.

Refuses to: send a request twice; do anything about a reply but read it; give back a connection that is not at the end
of its reply.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs

from poller.zoho.deadlines import Deadlines
from poller.zoho.incompatibility import UNEXPECTED, IncompatibleError, place_of
from poller.zoho.session import HEADERS, LARGEST_HEADER, Answer, read_body

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from yarl import URL

    from poller.zoho.proxy import Proxy

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the pool's own: `get` has one for the whole request
_SWITCHING: Final = 101


class PreparedRequest(NamedTuple):
    """A GET that is sent many times: where to, for the pool, and its bytes without the caller's own header."""

    origin: aiohttp.ClientRequest
    head: bytes


def question(url: URL, proxy: Proxy | None = None) -> PreparedRequest:
    """The GET of `url` with the headers of every request. Needs a running loop."""
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
    """GETs over one pool; `timeout_seconds` from start to last byte."""

    def __init__(self, connector: aiohttp.BaseConnector, timeout_seconds: float) -> None:
        self._connector = connector
        self._deadlines = Deadlines(timeout_seconds)

    def close(self) -> None:
        """Nothing more is asked."""
        self._deadlines.close()

    async def get(self, asked: PreparedRequest, authorization: str) -> Answer:
        """Ask it with this `Authorization`, which is printable ASCII.

        Raises what aiohttp raises, `TimeoutError`, and `IncompatibleError`.
        """
        sent = False
        try:
            with self._deadlines.begin():
                connection = await self._connector.connect(asked.origin, [], _NO_TIMEOUT)
                try:
                    protocol, transport = _ready(connection)
                    sent = True
                    transport.write(b"%bAuthorization: %b\r\n\r\n" % (asked.head, authorization.encode()))
                    answer = await _read(protocol)
                except BaseException:
                    connection.close()
                    raise
                if answer.body is None:
                    connection.close()
                # To the pool; or closed, where there is more to come.
                connection.release()
                return answer
        except UNEXPECTED as changed:
            raise IncompatibleError(place_of(changed), sent=sent) from changed


def _ready(connection: aiohttp.connector.Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    protocol = connection.protocol
    transport = connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection was closed")
    protocol.set_response_params(
        read_until_eof=True, auto_decompress=False, max_line_size=LARGEST_HEADER, max_field_size=LARGEST_HEADER
    )
    return protocol, transport


async def _read(protocol: ResponseHandler) -> Answer:
    message, content = await protocol.read()
    while message.code < 200 and message.code != _SWITCHING:
        message, content = await protocol.read()
    return Answer(message.code, message.headers, await read_body(content, message.headers))
