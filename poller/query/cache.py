"""Keeps answers for a while, so that many readers of one page cost the database no more than one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence

T = TypeVar("T")

MOST_ANSWERS: Final = 2_000
_TIMES_ITS_COST: Final = 100
_LEAST_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 60.0


@dataclass(slots=True)
class AnswerCache:
    """Answers by key; None is no answer. The oldest goes when there are too many, and errors are not kept."""

    _kept: OrderedDict[Hashable, tuple[float, Any]] = field(default_factory=OrderedDict)
    _locks: WeakValueDictionary[Hashable, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def get(self, key: Hashable, max_age_seconds: float, read: Callable[[], Awaitable[T]]) -> T:
        """The kept answer, or a new one if it is older than that. Readers that ask at the same time share one read."""
        async with self.reading(key):
            kept: T | None = self.find(key, max_age_seconds)
            if kept is None:
                kept = await read()
                self.keep(key, kept)
            return kept

    async def get_costly(
        self, key: Hashable, read: Callable[[], Awaitable[T]], most_seconds: float = _MOST_SECONDS
    ) -> T:
        """The kept answer, or a new one. It is kept a hundred times as long as it took to read, 5 to 60 seconds.

        So it takes at most a hundredth of the database's time, and is never older than a minute, or `most_seconds`.
        """
        clock = asyncio.get_running_loop().time
        async with self.reading(key):
            kept: tuple[float, T] | None = self.find(key, most_seconds)
            if kept is None or clock() > kept[0]:
                began = clock()
                answer = await read()
                took = clock() - began
                kept = (clock() + min(max(_TIMES_ITS_COST * took, _LEAST_SECONDS), most_seconds), answer)
                self.keep(key, kept)
            return kept[1]

    def forget(self, key: Hashable) -> None:
        """Drops a kept answer, because what it says has changed."""
        self._kept.pop(key, None)

    @asynccontextmanager
    async def reading(self, key: Hashable) -> AsyncIterator[None]:
        """One reader of this key at a time. A lock lives as long as a reader holds it or waits for it."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield

    def find(self, key: Hashable, max_age_seconds: float) -> Any:
        """The kept answer if it is not older than that, else None."""
        kept_at, answer = self._kept.get(key, (0.0, None))
        return answer if asyncio.get_running_loop().time() - kept_at < max_age_seconds else None

    def keep(self, key: Hashable, answer: object) -> None:
        """Keeps an answer that was read just now."""
        self._kept[key] = (asyncio.get_running_loop().time(), answer)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_ANSWERS:
            self._kept.popitem(last=False)


def key_of_tags(visible_tags: Sequence[str] | None) -> tuple[str, ...] | None:
    """The part of a key that says which orgs a caller sees; None: every org."""
    return None if visible_tags is None else tuple(sorted(visible_tags))
