"""Requests through aiohttp's `ClientSession`, by what aiohttp documents alone. Every aiohttp can carry them.

Refuses to: follow a redirect, keep a cookie, obey a proxy of the environment, send a request twice, read more than
`LARGEST_BODY`.
"""

from __future__ import annotations

import math
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict

from poller import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import SimpleNamespace

    from multidict import CIMultiDictProxy
    from yarl import URL

    from poller.zoho.proxy import Proxy

LARGEST_BODY: Final = 65_536
"""Bytes, decompressed. A count takes a dozen, the longest reply Zoho documents for our calls a few thousand."""
LARGEST_HEADER: Final = 65_536
"""Bytes of one header line: none that we read is longer than forty, but an edge may add some of its own."""
HEADERS: Final[Mapping[str, str]] = {
    hdrs.ACCEPT: "application/json",
    hdrs.ACCEPT_ENCODING: "identity",  # a dozen bytes: nothing to gain, and no bomb to unpack
    hdrs.USER_AGENT: f"zoho-user-count-poller/{__version__}",
}
"""Sent with every request."""


class Answer(NamedTuple):
    """A reply; `body` is None where it is longer than `LARGEST_BODY`."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None


class Session:
    """Sends one request at a time for each caller. Made by `open_session`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.takes_no_retry = isinstance(getattr(session, "_retry_connection", None), bool)
        """Whether this aiohttp can be kept from sending a broken request a second time over a kept connection."""
        if self.takes_no_retry:
            session._retry_connection = False  # noqa: SLF001 - it has no public switch

    async def ask(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        proxy: Proxy | None = None,
    ) -> Answer:
        """Send it and read the reply. Raises what aiohttp raises, and `TimeoutError`."""
        async with self._session.request(
            method,
            url,
            headers=headers,
            data=form,
            allow_redirects=False,
            proxy=proxy and proxy.url,
            proxy_headers=proxy and CIMultiDict(proxy.headers),  # aiohttp adds the host to them
        ) as response:
            # The length of a body that HEAD leaves out is no reason to refuse the reply.
            body = b"" if method == "HEAD" else await read_body(response.content, response.headers)
            if body is None:
                response.close()
            return Answer(response.status, response.headers, body)


@asynccontextmanager
async def open_session(connector: aiohttp.BaseConnector, timeout_seconds: float) -> AsyncIterator[Session]:
    """A session over this pool; `timeout_seconds` from start to last byte.

    aiohttp sends a broken GET a second time: a credit that is not counted, past the org's limiter. The attribute that
    turns this off is in no manual. A trace, which is, does the same where each request has a connection of its own.
    """
    async with aiohttp.ClientSession(
        connector=connector,
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, ceil_threshold=math.inf),  # exact, not rounded up
        trust_env=False,
        auto_decompress=False,
        max_line_size=LARGEST_HEADER,
        max_field_size=LARGEST_HEADER,
        trace_configs=[_one_connection_a_request()] if connector.force_close else None,
    ) as session:
        yield Session(session)


def _one_connection_a_request() -> aiohttp.TraceConfig:
    async def refuse_a_second(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
        if getattr(context, "has_connected", False):
            raise aiohttp.ServerDisconnectedError
        context.has_connected = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(refuse_a_second)
    return trace


async def read_body(content: aiohttp.StreamReader, headers: CIMultiDictProxy[str]) -> bytes | None:
    """The whole body, or None once it is known to be too large; the rest of the body dies with its connection."""
    body = await _read_packed(content, headers)
    encoding = headers.get(hdrs.CONTENT_ENCODING)
    return body if encoding is None or not body else _unpacked(body, encoding)


async def _read_packed(content: aiohttp.StreamReader, headers: CIMultiDictProxy[str]) -> bytes | None:
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


def _unpacked(body: bytes, encoding: str) -> bytes | None:
    """Unpacked here, not by aiohttp: some releases unpack a reply at once, and 64 kB may become 64 MB."""
    if encoding.lower() == "identity":
        return body
    unpacking = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip or deflate, as its first bytes say
    try:
        found = unpacking.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        raise aiohttp.ClientError(f"a reply in the encoding {encoding!r} cannot be unpacked") from error
    if len(found) > LARGEST_BODY:
        return None
    if not unpacking.eof:
        raise aiohttp.ClientPayloadError("a packed reply ends too early")
    return found
