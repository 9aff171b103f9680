"""Long answers, made in slices: all together they take at most half of the event loop's time.

A worker polls on the same loop. Writing to a socket that takes everything at once never suspends, so an answer of
millions of lines would otherwise hold the loop from its first line to its last.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

T = TypeVar("T")

SLICE_SECONDS: Final = 0.004


class LoopShare:
    """One for each process; every long answer passes its items through `sliced`."""

    def __init__(self, slice_seconds: float = SLICE_SECONDS) -> None:
        self._slice_seconds = slice_seconds
        self._active = 0

    async def sliced(self, items: AsyncIterator[T]) -> AsyncGenerator[T]:
        """The items, with a pause after each slice.

        The pause lasts until every other active answer may have had a slice, and the rest of the process as much time
        as all answers together.
        """
        self._active += 1
        began = perf_counter()
        try:
            async for item in items:
                yield item
                if perf_counter() - began >= self._slice_seconds:
                    await asyncio.sleep((2 * self._active - 1) * self._slice_seconds)
                    began = perf_counter()
        finally:
            self._active -= 1
