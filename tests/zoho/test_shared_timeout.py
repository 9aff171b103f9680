from __future__ import annotations

import asyncio

import pytest

from poller.zoho.shared_timeout import SharedTimeout
from tests.zoho.turned_clock import START, now, run_turned


async def taking(shared: SharedTimeout, seconds: float) -> str:
    try:
        with shared.start():
            await asyncio.sleep(seconds)
    except TimeoutError:
        return f"cut off at {now() - START:.1f}"
    return f"done at {now() - START:.1f}"


def test_each_task_has_the_full_timeout_from_its_own_start() -> None:
    async def main() -> list[str]:
        shared = SharedTimeout(10.0)
        tasks = []
        async with asyncio.TaskGroup() as group:
            for seconds in (3.0, 30.0, 9.0, 30.0, 10.5, 1.0):
                tasks.append(group.create_task(taking(shared, seconds)))
                await asyncio.sleep(2)
        shared.close()
        return [task.result() for task in tasks]

    assert run_turned(main()) == [
        "done at 3.0",
        "cut off at 12.0",
        "done at 13.0",
        "cut off at 16.0",
        "cut off at 18.0",
        "done at 11.0",
    ]


def test_a_task_whose_request_timed_out_continues_without_a_pending_cancellation() -> None:
    async def main() -> tuple[list[str], int]:
        shared = SharedTimeout(1.0)
        outcomes = [await taking(shared, seconds) for seconds in (5.0, 0.5, 5.0)]
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(1):
            await asyncio.sleep(0.5)
        return outcomes, task.cancelling()

    assert run_turned(main()) == (["cut off at 1.0", "done at 1.5", "cut off at 2.5"], 0)


def test_a_cancellation_from_outside_is_not_turned_into_a_timeout() -> None:
    async def main() -> bool:
        shared = SharedTimeout(1.0)
        before, at_once = (asyncio.create_task(taking(shared, 5.0)) for _ in range(2))
        await asyncio.sleep(0.5)
        before.cancel()
        # At the very moment at which its time is over, in the same turn of the loop.
        asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + 0.5, at_once.cancel)
        await asyncio.wait([before, at_once])
        return before.cancelled() and at_once.cancelled()

    assert run_turned(main())


def test_an_exception_before_the_deadline_is_raised_unchanged() -> None:
    async def main() -> None:
        shared = SharedTimeout(1.0)
        with shared.start():
            raise KeyError

    with pytest.raises(KeyError):
        run_turned(main())


def test_finished_deadlines_are_removed_from_memory() -> None:
    async def main() -> int:
        shared = SharedTimeout(1.0)
        for _ in range(3):
            await taking(shared, 0.1)
            await taking(shared, 5.0)
        return len(shared._running)

    assert run_turned(main()) == 0
