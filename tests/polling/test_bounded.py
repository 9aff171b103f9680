from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from poller.polling.bounded import for_each, for_each_by_data_center

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def numbers(count: int, taken: list[int]) -> AsyncIterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


async def test_every_org_is_polled_once_within_the_limit_of_concurrent_polls() -> None:
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

    await for_each(numbers(1_000, taken), poll, at_once=7)

    assert sorted(polled) == list(range(1_000))
    assert most == 7
    assert most_ahead <= 7


async def test_a_slow_org_does_not_delay_polls_of_others() -> None:
    others_done = asyncio.Event()
    polled: list[int] = []

    async def poll(number: int) -> None:
        if number == 0:
            await others_done.wait()
        polled.append(number)
        if len(polled) == 99:
            others_done.set()

    async with asyncio.timeout(60):
        await for_each(numbers(100, []), poll, at_once=2)

    assert polled[-1] == 0


async def test_an_internal_error_ends_the_loop_and_is_raised_unchanged() -> None:
    async def poll(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise LookupError("three")

    with pytest.raises(LookupError, match="three"):
        await for_each(numbers(100, []), poll, at_once=5)


async def test_a_loop_over_no_orgs_ends_at_once() -> None:
    async def poll(number: int) -> None:
        raise AssertionError(number)

    await for_each(numbers(0, []), poll, at_once=3)


async def test_a_hanging_data_centre_does_not_take_places_reserved_for_another() -> None:
    polled: list[int] = []
    all_of_the_other = asyncio.Event()
    hanging = most_hanging = 0

    async def poll(org: tuple[str, int]) -> None:
        nonlocal hanging, most_hanging
        name, number = org
        if name == "silent":
            hanging += 1
            most_hanging = max(most_hanging, hanging)
            await all_of_the_other.wait()
            hanging -= 1
            return
        await asyncio.sleep(0)
        polled.append(number)
        if len(polled) == 100:
            all_of_the_other.set()

    async def of(name: str) -> AsyncIterator[tuple[str, int]]:
        for number in range(100):
            yield name, number

    async with asyncio.timeout(60):
        await for_each_by_data_center(
            {"silent": of("silent"), "healthy": of("healthy")}, poll, {"silent": 1.0, "healthy": 1.0}, at_once=8
        )
    assert sorted(polled) == list(range(100))
    assert most_hanging == 6


async def test_places_of_a_finished_data_centre_go_to_the_others() -> None:
    under_way = most = 0

    async def poll(_org: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)  # long enough for the others to begin
        under_way -= 1

    await for_each_by_data_center(
        {"us": numbers(50, []), "eu": numbers(0, [])}, poll, {"us": 1.0, "eu": 1.0}, at_once=8
    )
    assert most == 8
