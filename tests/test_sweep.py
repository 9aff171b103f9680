from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from poller.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def numbers(count: int, taken: list[int]) -> AsyncIterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


async def test_every_org_is_polled_once_and_no_more_than_so_many_at_a_time() -> None:
    taken: list[int] = []
    polled: list[int] = []
    under_way = most = most_ahead = 0

    async def poll(number: int) -> None:
        nonlocal under_way, most, most_ahead
        under_way += 1
        most = max(most, under_way)
        most_ahead = max(most_ahead, len(taken) - len(polled))
        await asyncio.sleep(0)
        polled.append(number)
        under_way -= 1

    await sweep(numbers(1_000, taken), poll, at_once=7)

    assert sorted(polled) == list(range(1_000))
    assert most == 7
    assert most_ahead <= 7


async def test_a_slow_org_does_not_keep_the_others_from_being_polled() -> None:
    others_done = asyncio.Event()
    polled: list[int] = []

    async def poll(number: int) -> None:
        if number == 0:
            await others_done.wait()
        polled.append(number)
        if len(polled) == 99:
            others_done.set()

    async with asyncio.timeout(10):
        await sweep(numbers(100, []), poll, at_once=2)

    assert polled[-1] == 0


async def test_an_error_of_ours_ends_the_sweep_as_it_was_raised() -> None:
    async def poll(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise LookupError("three")

    with pytest.raises(LookupError, match="three"):
        await sweep(numbers(100, []), poll, at_once=5)


async def test_a_sweep_over_nothing_is_over() -> None:
    async def poll(number: int) -> None:
        raise AssertionError(number)

    await sweep(numbers(0, []), poll, at_once=3)
