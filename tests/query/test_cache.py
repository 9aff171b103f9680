"""Answers that are kept for a while: one read for many readers, and nothing left of readers that are gone."""

from __future__ import annotations

import asyncio

import pytest

from poller.query.cache import MOST_ANSWERS, AnswerCache


class Source:
    """Counts how often it is read; it answers when it is allowed to."""

    def __init__(self) -> None:
        self.reads = 0
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def read(self) -> int:
        self.reads += 1
        self.asked.set()
        await self.open.wait()
        return self.reads


@pytest.mark.parametrize("kept_as_long_as_it_took", [False, True])
async def test_readers_that_ask_at_the_same_time_share_one_read(*, kept_as_long_as_it_took: bool) -> None:
    cache, source = AnswerCache(), Source()

    async def ask() -> int:
        if kept_as_long_as_it_took:
            return await cache.get_costly("key", source.read)
        return await cache.get("key", 60.0, source.read)

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(5)]
        group.create_task(_open_later(source))
    assert [one.result() for one in asked] == [1] * 5
    assert await ask() == 1
    assert source.reads == 1


async def test_readers_of_many_different_questions_leave_a_bounded_number_of_answers_and_no_lock() -> None:
    cache = AnswerCache()
    for number in range(MOST_ANSWERS + 50):
        assert await cache.get_costly(("search", number), lambda: _answer(1)) == 1
    assert len(cache._kept) == MOST_ANSWERS
    assert len(cache._locks) == 0


async def test_an_error_is_not_kept_and_the_next_reader_asks_again() -> None:
    cache = AnswerCache()
    with pytest.raises(ZeroDivisionError):
        await cache.get("key", 60.0, _fail)
    assert await cache.get("key", 60.0, lambda: _answer(2)) == 2


async def test_an_answer_is_never_older_than_its_reader_allows() -> None:
    cache = AnswerCache()
    assert await cache.get_costly("key", lambda: _answer(1)) == 1
    assert await cache.get_costly("key", lambda: _answer(2)) == 1
    assert await cache.get_costly("key", lambda: _answer(2), most_seconds=0.0) == 2


async def _open_later(source: Source) -> None:
    await source.asked.wait()
    source.open.set()


async def _answer(value: int) -> int:
    return value


async def _fail() -> int:
    raise ZeroDivisionError
