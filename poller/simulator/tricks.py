"""How a reply leaves when it must not leave whole: reset, cut in half, a byte at a time, never.

It refuses to choose: what goes wrong and when is in `fault_table` and `faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from poller.simulator.fault_table import Trick
    from poller.simulator.replies import Reply

DRIP_SECONDS: Final = 0.05
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing then sends a reset, not an end


async def leave(request: web.BaseRequest, reply: Reply, trick: Trick, stopping: asyncio.Event) -> web.StreamResponse:
    """Send `reply` by the trick; the response returned is for the server's own bookkeeping."""
    match trick:
        case "reply":
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        case "bare":
            await _write(request, reply, len(reply.body))
            _close(request, reset=False)
        case "reset":
            _close(request, reset=True)
        case "reset_in_body":
            await _write(request, reply, len(reply.body) + 100)
            _close(request, reset=True)
        case "drip":
            await _drip(request, reply, stopping)
        case "hang":
            await stopping.wait()
    return web.Response()


async def _write(request: web.BaseRequest, reply: Reply, length: int) -> None:
    """The reply byte by byte as given, past the server, which would add a content type."""
    if request.transport is not None:
        lines = [f"HTTP/1.1 {reply.status} OK", f"Content-Length: {length}", "Connection: close"]
        lines.extend(f"{name}: {value}" for name, value in reply.headers.items())
        request.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode() + reply.body)
        await asyncio.sleep(0.01)  # let it go out before the connection does


async def _drip(request: web.BaseRequest, reply: Reply, stopping: asyncio.Event) -> None:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while not stopping.is_set():
            await response.write(b" ")
            await asyncio.sleep(DRIP_SECONDS)
    _close(request, reset=True)


def _close(request: web.BaseRequest, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    else:
        transport.close()
