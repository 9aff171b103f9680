"""Collects results and writes them in batches, by size or age.

A result is done only when its batch is committed; `committed` is called then. The number of results in memory is
bounded: `put` waits for room. The batch writer knows no SQL and retries nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

T = TypeVar("T")


class BatchWriter(Generic[T]):
    """Calls `write` with `rows` items at a time, or with fewer once the oldest is `age_seconds` old.

    An async context manager: at its end the remaining items are written, even after an exception. An error of `write`
    is raised by the next `put` or at the end of the context.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[object]],
        *,
        committed: Callable[[Sequence[T]], None] | None = None,
        rows: int = 500,
        age_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._committed = committed
        self._rows = rows
        self._age_seconds = age_seconds
        self._clock = clock
        self._held: list[T] = []
        self._held_since = 0.0
        self._writing: Sequence[T] = ()
        self._writing_since = 0.0
        self._put = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._room.set()
        # Not in a group: a group would cancel the writer after an exception, and rows must be written even then.
        self._writer = asyncio.create_task(self._write_batches(), name="batch writer")  # noqa: TID251
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._put.set()
        if self._writer is not None:
            await self._writer

    @property
    def depth(self) -> int:
        """The number of items put and not committed."""
        return len(self._held) + len(self._writing)

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest item; 0.0 if there are none."""
        since = self._writing_since if self._writing else self._held_since
        return self._clock() - since if self.depth else 0.0

    async def put(self, item: T) -> None:
        """Adds an item; returns as soon as there is room for it, not when it is committed."""
        await self._room.wait()
        if self._writer is not None and self._writer.done():
            await self._writer
        if not self._held:
            self._held_since = self._clock()
        self._held.append(item)
        if len(self._held) >= self._rows:
            self._put.set()
        if len(self._held) >= 4 * self._rows:
            self._room.clear()

    async def _write_batches(self) -> None:
        try:
            while self._held or not self._closing:
                if len(self._held) < self._rows and not self._closing:
                    await self._wait_for_a_batch()
                batch, self._held = self._held, []
                self._writing, self._writing_since = batch, self._held_since
                self._room.set()
                if batch:
                    await self._write(batch)
                    if self._committed is not None:
                        self._committed(batch)
                    self._writing = ()
        finally:
            # No caller may wait for room after the writer has failed.
            self._room.set()

    async def _wait_for_a_batch(self) -> None:
        self._put.clear()
        try:
            async with asyncio.timeout(self._age_seconds):
                await self._put.wait()
        except TimeoutError:
            pass
