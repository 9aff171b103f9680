"""Sends a long reply while it is read from the database, and gives up on a client that does not read it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from poller.web.api.entity_tags import entity_tag, has_tag

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from aiohttp import web

    from poller.web.loop_share import LoopShare

PATIENCE_SECONDS: Final = 30.0
"""How long a client may take to read a block."""
LONGEST_SECONDS: Final = 300.0
"""Of one reply: an open transaction holds up PostgreSQL's own cleaning."""
HELD_BYTES: Final = 262_144
"""A reply of at most this length is sent at once, with an entity tag; a longer one while it is read, without one."""
_BLOCK: Final = 65_536


async def send_lines(
    request: web.Request,
    response: web.StreamResponse,
    lines: AsyncGenerator[str],
    share: LoopShare,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    longest_seconds: float = LONGEST_SECONDS,
) -> None:
    """Sends the lines. The headers follow the first `HELD_BYTES`, so that an error before them becomes a refusal.

    A `TimeoutError` if the client takes no block for `patience_seconds`, or after `longest_seconds`.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + longest_seconds
    async with (
        asyncio.timeout(None) as limit,
        aclosing(lines),
        aclosing(share.sliced(lines)) as slices,
        aclosing(_blocks(slices)) as blocks,
    ):
        held = bytearray()
        async for block in blocks:
            held += block
            if not response.prepared:
                if len(held) <= HELD_BYTES:
                    continue
                await response.prepare(request)
            limit.reschedule(min(clock() + patience_seconds, end))
            await response.write(bytes(held))
            held.clear()
        if not response.prepared:
            limit.reschedule(min(clock() + patience_seconds, end))
            await _send_whole(request, response, bytes(held))
    await response.write_eof()


async def _send_whole(request: web.Request, response: web.StreamResponse, body: bytes) -> None:
    response.headers["ETag"] = tag = entity_tag(body)
    if has_tag(request, tag):
        response.set_status(304)
        await response.prepare(request)
        return
    response.headers["Content-Length"] = str(len(body))
    await response.prepare(request)
    await response.write(body)


async def _blocks(lines: AsyncIterator[str]) -> AsyncGenerator[bytes]:
    """Lines in blocks: one is not worth a write."""
    block = bytearray()
    async for line in lines:
        block += line.encode()
        block += b"\n"
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)
