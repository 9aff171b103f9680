"""Sends HTTP as bytes, for requests that no client library sends."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


async def exchange(url: str, request: bytes, *, seconds: float = 60.0) -> bytes:
    """Sends only these bytes; returns everything received within `seconds`."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    reply = bytearray()
    try:
        async with asyncio.timeout(seconds):
            writer.write(request)
            while data := await reader.read(65_536):
                reply += data
                if _is_whole(bytes(reply)):
                    break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return bytes(reply)


def status_of(reply: bytes) -> int:
    """The status of a reply."""
    return int(reply.split(b" ", 2)[1])


def _is_whole(reply: bytes) -> bool:
    head, found, body = reply.partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")
