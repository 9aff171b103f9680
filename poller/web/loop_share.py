"""Divides long answers into slices, so that all of them together take at most half of the event loop's time.

A worker polls on the same loop. A write to a fast socket never suspends, so an answer of millions of lines would
otherwise block the loop until its end.
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
    """The share of one process: every long answer passes its items through `sliced`."""

    def __init__(self, slice_seconds: float = SLICE_SECONDS) -> None:
        self._slice_seconds = slice_seconds
        self._active = 0

    async def sliced(self, items: AsyncIterator[T]) -> AsyncGenerator[T]:
        """The items, with a pause after each slice.

        The pause is long enough for one slice of every other active answer, and as much time again for the rest of the
        process.
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
