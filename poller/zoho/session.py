"""Sends requests through aiohttp's `ClientSession`, with documented names only, so that it works with every aiohttp.

Refuses to: follow a redirect, keep a cookie, use a proxy of the environment, send a request twice, read more than
`MAX_BODY` bytes.
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

MAX_BODY: Final = 65_536
"""Bytes, decompressed. A count has a dozen, the longest documented reply to the poller's requests a few thousand."""
MAX_HEADER: Final = 65_536
"""Bytes of one header line. The headers that the poller reads have at most forty, but an edge server may add others."""
HEADERS: Final[Mapping[str, str]] = {
    hdrs.ACCEPT: "application/json",
    hdrs.ACCEPT_ENCODING: "identity",  # compression saves nothing in a dozen bytes, and could hide a huge body
    hdrs.USER_AGENT: f"zoho-user-count-poller/{__version__}",
}
"""Sent with every request."""


class RawResponse(NamedTuple):
    """A reply as it was read; `body` is None if it is longer than `MAX_BODY`."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None


class Session:
    """Sends one request at a time for each caller. Created by `open_session`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.can_disable_retry = isinstance(getattr(session, "_retry_connection", None), bool)
        """True if this aiohttp has the switch that stops it from repeating a broken request on a kept connection."""
        if self.can_disable_retry:
            session._retry_connection = False  # noqa: SLF001 - there is no public switch

    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        proxy: Proxy | None = None,
    ) -> RawResponse:
        """Send a request and read the reply. Raises what aiohttp raises, and `TimeoutError`."""
        async with self._session.request(
            method,
            url,
            headers=headers,
            data=form,
            allow_redirects=False,
            proxy=proxy and proxy.url,
            proxy_headers=proxy and CIMultiDict(proxy.headers),  # a copy, because aiohttp adds the host
        ) as response:
            # A reply to HEAD names the length of a body that is not sent: never too large.
            body = b"" if method == "HEAD" else await read_body(response.content, response.headers)
            if body is None:
                response.close()
            return RawResponse(response.status, response.headers, body)


@asynccontextmanager
async def open_session(connector: aiohttp.BaseConnector, timeout_seconds: float) -> AsyncIterator[Session]:
    """Opens a session over this pool; `timeout_seconds` is for the whole request, to the last byte of the reply.

    aiohttp sends a broken GET a second time, which would spend a credit that the org's limiter does not count. The
    attribute that turns this off is undocumented. Where every request has a new connection, a trace does the same, and
    traces are documented.
    """
    async with aiohttp.ClientSession(
        connector=connector,
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, ceil_threshold=math.inf),  # exact, not rounded up
        trust_env=False,
        auto_decompress=False,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        trace_configs=[_one_connection_per_request()] if connector.force_close else None,
    ) as session:
        yield Session(session)


def _one_connection_per_request() -> aiohttp.TraceConfig:
    async def refuse_a_second(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
        if getattr(context, "has_connected", False):
            raise aiohttp.ServerDisconnectedError
        context.has_connected = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(refuse_a_second)
    return trace


async def read_body(content: aiohttp.StreamReader, headers: CIMultiDictProxy[str]) -> bytes | None:
    """The whole body, or None as soon as it is too large; the caller then closes the connection."""
    # A count arrives with its headers, so that there is nothing to wait for.
    body = content.read_nowait() if content.is_eof() else await _received(content, headers)
    if body is None or len(body) > MAX_BODY:
        return None
    encoding = headers.get(hdrs.CONTENT_ENCODING)
    return body if encoding is None or not body else _decompressed(body, encoding)


async def _received(content: aiohttp.StreamReader, headers: CIMultiDictProxy[str]) -> bytes | None:
    """The body as it was sent; None if its length is said to be too large, else perhaps a chunk more than allowed."""
    length = headers.get(hdrs.CONTENT_LENGTH)
    if length is not None and length.isdecimal() and int(length) > MAX_BODY:
        return None
    chunks, size = [], 0
    while size <= MAX_BODY:
        chunk = await content.readany()
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _decompressed(body: bytes, encoding: str) -> bytes | None:
    """Decompressed here: some releases of aiohttp decompress a reply without a limit, and 64 kB may become 64 MB."""
    if encoding.lower() == "identity":
        return body
    decompressor = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # finds out whether it is gzip or deflate
    try:
        found = decompressor.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise aiohttp.ClientError(f"a reply in the encoding {encoding!r} cannot be decompressed") from error
    if len(found) > MAX_BODY:
        return None
    if not decompressor.eof:
        raise aiohttp.ClientPayloadError("a compressed reply ends too early")
    return found
