"""One GET as plain as HTTP has it, over a connection of aiohttp's pool, its reply read by aiohttp's parser.

A session does for each request what a browser may need: cookies, redirects, proxies, hooks, half a dozen objects. A
count needs none of it, and it is half of what a count costs (docs/adr/0009). Pool, TLS, names and parsing stay
aiohttp's, and so does everything it raises.

Refuses to: send a request twice; do anything about a reply but read it; give back a connection that is not at the end
of its reply.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs

from poller.zoho.deadlines import Deadlines

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy
    from yarl import URL

    from poller.zoho.proxy import Proxy

LARGEST_BODY: Final = 65_536
"""Bytes, decompressed. A count takes a dozen, the longest reply Zoho documents for our calls a few thousand."""
LARGEST_HEADER: Final = 65_536
"""Bytes of one header line: none that we read is longer than forty, but an edge may add some of its own."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the pool's own: `get` has one for all of it
_SWITCHING: Final = 101


class Question(NamedTuple):
    """A GET that is asked many times: where to, for the pool, and all of its bytes but the caller's own header."""

    origin: aiohttp.ClientRequest
    head: bytes


class Answer(NamedTuple):
    """A reply; `body` is None where it is longer than `LARGEST_BODY`."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None


def question(url: URL, request_class: type[aiohttp.ClientRequest], proxy: Proxy | None = None) -> Question:
    """The GET of `url` with the headers `request_class` gives every request. Needs a running loop."""
    loop = asyncio.get_running_loop()
    origin = request_class("GET", url, loop=loop, proxy=proxy and proxy.url, proxy_headers=proxy and proxy.headers)
    lines = [f"GET {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in origin.headers.items())]
    return Question(origin, "".join(f"{line}\r\n" for line in lines).encode("ascii"))


class Wire:
    """GETs over one pool; `timeout_seconds` from start to last byte."""

    def __init__(self, connector: aiohttp.BaseConnector, timeout_seconds: float) -> None:
        self._connector = connector
        self._deadlines = Deadlines(timeout_seconds)

    def close(self) -> None:
        """Nothing more is asked."""
        self._deadlines.close()

    async def get(self, asked: Question, authorization: str) -> Answer:
        """Ask it with this `Authorization`. Raises what aiohttp does, and `TimeoutError`."""
        if not (authorization.isascii() and authorization.isprintable()):
            raise ValueError("a header with control characters would be another request")
        with self._deadlines.begin():
            connection = await self._connector.connect(asked.origin, [], _NO_TIMEOUT)
            try:
                answer = await _ask(connection, b"%bAuthorization: %b\r\n\r\n" % (asked.head, authorization.encode()))
            except BaseException:
                connection.close()
                raise
            # To the pool; or closed, where there is more to come.
            connection.release()
            return answer


async def _ask(connection: aiohttp.connector.Connection, request: bytes) -> Answer:
    protocol = connection.protocol
    transport = connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection was closed meanwhile")
    protocol.set_response_params(read_until_eof=True, max_line_size=LARGEST_HEADER, max_field_size=LARGEST_HEADER)
    transport.write(request)
    message, content = await protocol.read()
    while message.code < 200 and message.code != _SWITCHING:
        message, content = await protocol.read()
    return Answer(message.code, message.headers, await read_body(content, message.headers))


async def read_body(content: aiohttp.StreamReader, headers: CIMultiDictProxy[str]) -> bytes | None:
    """The whole body, or None once it is known to be too large; what is left then dies with its connection."""
    length = headers.get(hdrs.CONTENT_LENGTH)
    if length is not None and length.isdecimal() and int(length) > LARGEST_BODY:
        return None
    body = await content.readany()
    if content.at_eof():
        return body if len(body) <= LARGEST_BODY else None
    chunks, size = [body], len(body)
    while size <= LARGEST_BODY:
        chunk = await content.readany()
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    return None
