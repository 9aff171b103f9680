"""Waits for the effect of another task or process by polling a condition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


PATIENCE_SECONDS = 60.0
"""Far more than anything takes: what a loaded machine does is not what is tested."""


async def eventually(ask: Callable[[], Awaitable[Any]] | Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Calls `ask` repeatedly until the answer is true; returns this answer."""
    async with asyncio.timeout(seconds):
        while True:
            answer = ask()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.05)
