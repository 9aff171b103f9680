"""Sends a long reply while it is read from the database, and gives up on a client that does not read it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from aiohttp import web

    from poller.web.loop_share import LoopShare

PATIENCE_SECONDS: Final = 30.0
"""How long a client may take to read a block."""
LONGEST_SECONDS: Final = 300.0
"""Of one reply: an open transaction holds up PostgreSQL's own cleaning."""
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
    """Sends the lines. The headers follow the first block, so that an error before it becomes a refusal.

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
        async for block in blocks:
            if not response.prepared:
                await response.prepare(request)
            limit.reschedule(min(clock() + patience_seconds, end))
            await response.write(block)
    await response.write_eof()


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
