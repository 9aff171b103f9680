"""Sends a reply in a way that fails: reset, cut in half, one byte at a time, never.

`fault_table` and `faults` decide which way, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from poller.simulator.fault_table import Delivery
    from poller.simulator.replies import Reply

DRIP_SECONDS: Final = 0.05
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN


async def send(
    request: web.BaseRequest, reply: Reply, delivery: Delivery, stopping: asyncio.Event
) -> web.StreamResponse:
    """Send `reply` in the given way; the server needs the returned response even if it is not sent."""
    match delivery:
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
    """Writes the reply exactly as given, without the server, which would add a content type."""
    if request.transport is not None:
        lines = [f"HTTP/1.1 {reply.status} OK", f"Content-Length: {length}", "Connection: close"]
        lines.extend(f"{name}: {value}" for name, value in reply.headers.items())
        request.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode() + reply.body)
        await asyncio.sleep(0.01)  # so that the bytes are sent before the connection closes


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
