"""Divides answers into slices, so that polls, which are made on the same event loop, need not wait for a whole one.

All long answers together take at most half of the loop's time: a write to a fast socket never suspends, so an answer of
millions of lines would otherwise block the loop until its end. Pages are made one at a time, in short steps.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

T = TypeVar("T")

SLICE_SECONDS: Final = 0.004
STEP_SECONDS: Final = 0.0005
"""A poll that begins needs several turns of the loop, and waits for one step in each."""


class LoopShare:
    """The share of one process. Long answers pass through `sliced`, pages through `in_steps`."""

    def __init__(self, slice_seconds: float = SLICE_SECONDS, step_seconds: float = STEP_SECONDS) -> None:
        self._slice_seconds = slice_seconds
        self._step_seconds = step_seconds
        self._active = 0
        self._one_page = asyncio.Lock()

    async def in_steps(self, parts: Iterable[T]) -> list[T]:
        """The parts of a page; everything else on the loop has a turn after each step. One page at a time."""
        made: list[T] = []
        async with self._one_page:
            await asyncio.sleep(0)
            began = perf_counter()
            for part in parts:
                made.append(part)
                if perf_counter() - began >= self._step_seconds:
                    await asyncio.sleep(0)
                    began = perf_counter()
        return made

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
