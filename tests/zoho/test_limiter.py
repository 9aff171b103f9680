from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from poller.core.editions import Limits, limits_of
from poller.core.rate_limit import INITIAL, RateLimitState
from poller.zoho.limiter import Limiter, OrgLimiter, steady_clock
from tests.zoho.turned_clock import START, now, run_turned

LIMITS = Limits(in_flight=2, rate=10.0, burst=10)
REQUEST_SECONDS = 0.2


@dataclass
class Zoho:
    """A server in the place of Zoho that records the send times and the requests in flight."""

    left: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def request(self, seconds: float = REQUEST_SECONDS) -> None:
        self.left.append(now() - START)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.in_flight -= 1


def limiter(concurrency: int = 64) -> Limiter:
    return Limiter(concurrency, now=now)


async def poll(org: OrgLimiter, zoho: Zoho, requests: int = 10, seconds: float = REQUEST_SECONDS) -> None:
    async def one() -> None:
        async with org:
            await zoho.request(seconds)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(requests):
            tasks.create_task(one())


# --- one org --------------------------------------------------------------------------------------------------------


def test_no_more_requests_are_in_flight_than_the_limit_of_the_org() -> None:
    async def main() -> Zoho:
        zoho = Zoho()
        with limiter().org(1, LIMITS) as org:
            await poll(org, zoho)
        return zoho

    zoho = run_turned(main())
    assert zoho.most_in_flight == 2
    assert zoho.left == pytest.approx([0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8], abs=1e-5)


def test_the_waiting_time_of_every_request_is_reported_and_is_zero_without_a_wait() -> None:
    async def main() -> list[float]:
        waits: list[float] = []
        limits = Limiter(64, now=now, waited=waits.append)
        with limits.org(1, LIMITS) as org, limits.org(2, LIMITS) as throttled:
            await poll(org, Zoho())
            throttled.throttle(30.0)
            assert await throttled.acquire(20.0) == pytest.approx(30.0, abs=1e-5)
        return waits

    waits = run_turned(main())
    assert waits == pytest.approx([0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8, 0.0], abs=1e-5)


def test_overlapping_polls_of_one_org_share_its_limit_of_requests_in_flight() -> None:
    async def main() -> Zoho:
        zoho, limits = Zoho(), limiter()

        async def one_poll() -> None:
            with limits.org(1, LIMITS) as org:
                await poll(org, zoho)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one_poll())
            tasks.create_task(one_poll())
        return zoho

    assert run_turned(main()).most_in_flight == 2


def test_requests_after_the_burst_are_sent_at_the_rate_limit() -> None:
    async def main() -> Zoho:
        zoho = Zoho()
        with limiter().org(1, LIMITS._replace(in_flight=25, burst=3)) as org:
            await poll(org, zoho, requests=6)
        return zoho

    assert run_turned(main()).left == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3], abs=1e-5)


def test_the_rate_limit_still_applies_after_the_poll_that_used_the_burst() -> None:
    async def main() -> Zoho:
        zoho, limits = Zoho(), limiter()
        for _ in range(2):
            with limits.org(1, LIMITS._replace(in_flight=25)) as org:
                await poll(org, zoho, seconds=0.0)
        return zoho

    left = run_turned(main()).left
    assert left[:10] == pytest.approx([0.0] * 10, abs=1e-5)
    assert left[10:] == pytest.approx([0.1 * late for late in range(1, 11)], abs=1e-4)


def test_requests_of_an_org_are_sent_in_the_order_of_their_arrival() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def one(org: OrgLimiter, number: int) -> None:
            async with org:
                order.append(number)
                await asyncio.sleep(0.3 if number % 3 else 0.1)

        with limiter().org(1, LIMITS._replace(burst=2)) as org:
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(one(org, number))
        return order

    assert run_turned(main()) == list(range(20))


# --- holds ----------------------------------------------------------------------------------------------------------


def test_no_request_is_sent_before_the_end_of_a_hold() -> None:
    async def main() -> Zoho:
        zoho = Zoho()
        with limiter().org(1, LIMITS) as org:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(poll(org, zoho))
                await asyncio.sleep(0.3)
                org.throttle(30.0)
        return zoho

    left = run_turned(main()).left
    assert [at for at in left if 0.3 <= at < 30.3 - 1e-6] == []
    assert len(left) == 10
    assert len([at for at in left if at > 30]) == 6


def test_a_hold_that_begins_while_a_request_waits_for_a_permit_delays_this_request() -> None:
    async def main() -> tuple[float, int]:
        limits, zoho = limiter(concurrency=1), Zoho()

        async def occupy() -> None:
            with limits.org(2, LIMITS) as other:
                await poll(other, zoho, requests=1, seconds=5.0)

        with limits.org(1, LIMITS) as org:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(occupy())
                await asyncio.sleep(0.1)
                acquiring = tasks.create_task(org.acquire(20.0))
                await asyncio.sleep(0.1)
                org.throttle(60.0)
            assert limits.permits.locked() is False
            return acquiring.result(), len(zoho.left)

    wait, others = run_turned(main())
    assert wait == pytest.approx(60.2 - 5.0)
    assert others == 1


def test_a_request_does_not_wait_for_a_hold_longer_than_its_max_wait() -> None:
    async def main() -> tuple[list[float], float]:
        with limiter().org(1, LIMITS) as org:
            org.throttle()
            foretold = org.would_wait()
            async with asyncio.TaskGroup() as tasks:
                acquiring = [tasks.create_task(org.acquire(20.0)) for _ in range(10)]
            assert now() == START
            return [task.result() for task in acquiring], foretold

    waits, foretold = run_turned(main())
    assert waits == [60.0] * 10
    assert foretold == 60.0


def test_a_request_waits_for_a_hold_within_its_max_wait() -> None:
    async def main() -> float:
        with limiter().org(1, LIMITS) as org:
            org.throttle(5.0)
            assert await org.acquire(20.0) == 0.0
            org.release()
        return now() - START

    assert run_turned(main()) == 5.0


def test_a_request_that_gives_up_releases_its_slot_and_its_permit() -> None:
    async def main() -> Zoho:
        zoho, limits = Zoho(), limiter(concurrency=2)
        with limits.org(1, LIMITS) as org:
            org.throttle()
            for _ in range(5):
                assert await org.acquire(1.0) > 1.0
            await asyncio.sleep(60)
            await poll(org, zoho, requests=2)
        return zoho

    assert run_turned(main()).most_in_flight == 2


def test_a_request_cancelled_while_waiting_lets_the_next_one_continue() -> None:
    async def main() -> int:
        zoho, limits = Zoho(), limiter(concurrency=2)
        with limits.org(1, LIMITS) as org:
            org.throttle(10.0)
            async with asyncio.TaskGroup() as tasks:
                waiting = [tasks.create_task(org.acquire()) for _ in range(3)]
                await asyncio.sleep(1)
                for task in waiting:
                    task.cancel()
            await poll(org, zoho, requests=2)
        return zoho.most_in_flight

    assert run_turned(main()) == 2


def test_a_request_cancelled_just_as_it_gets_a_permit_passes_it_to_the_next() -> None:
    async def main() -> float:
        limits = limiter(concurrency=1)
        with limits.org(1, LIMITS) as org, limits.org(2, LIMITS) as other:
            await org.acquire()
            waiting = asyncio.create_task(org.acquire())
            behind = asyncio.create_task(other.acquire())
            await asyncio.sleep(1)
            org.release()
            waiting.cancel()
            await asyncio.wait([waiting])
            async with asyncio.timeout(1):
                assert await behind == 0.0
            other.release()
            assert not limits.permits.locked()
            return now() - START

    assert run_turned(main()) == pytest.approx(1.0, abs=1e-5)


def test_a_429_halves_the_rate_of_the_org_and_the_rate_recovers_later() -> None:
    async def main() -> tuple[Zoho, float]:
        zoho = Zoho()
        with limiter().org(1, LIMITS._replace(in_flight=25)) as org:
            org.throttle(1.0)
            await poll(org, zoho, seconds=0.0)
            for _ in range(4):
                org.recover()
            return zoho, org.state.rate_factor

    zoho, factor = run_turned(main())
    assert zoho.left == pytest.approx([1.0] * 5 + [1.0 + 0.2 * late for late in range(1, 6)], abs=1e-4)
    assert factor == 1.0


# --- many orgs ------------------------------------------------------------------------------------------------------


def latencies_of_a_hundred(*, throttle_one: bool, concurrency: int = 64) -> dict[int, float]:
    """The end time of the poll of each org; if org 0 gets a 429, only those of the others."""

    async def main() -> dict[int, float]:
        limits, over = limiter(concurrency), dict[int, float]()

        async def one(number: int) -> None:
            zoho = Zoho()
            with limits.org(number, limits_of("free")) as org:
                if number == 0 and throttle_one:
                    org.throttle(300.0)
                await poll(org, zoho, seconds=REQUEST_SECONDS + number / 1_000)
            over[number] = now() - START

        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(one(number))
        return over

    return run_turned(main())


def test_one_throttled_org_among_a_hundred_does_not_delay_the_others() -> None:
    calm, throttled = latencies_of_a_hundred(throttle_one=False), latencies_of_a_hundred(throttle_one=True)
    assert throttled.pop(0) > 300.0
    calm.pop(0)
    assert len(throttled) == 99
    assert all(throttled[number] <= calm[number] + 1e-6 for number in calm)


def test_with_enough_permits_a_throttled_org_does_not_change_the_latencies_of_others() -> None:
    calm = latencies_of_a_hundred(throttle_one=False, concurrency=1_000)
    throttled = latencies_of_a_hundred(throttle_one=True, concurrency=1_000)
    calm.pop(0)
    throttled.pop(0)
    assert throttled == pytest.approx(calm, abs=1e-6)


def test_an_org_with_many_requests_shares_the_permits_fairly_with_others() -> None:
    async def main() -> float:
        limits, zoho = limiter(concurrency=2), Zoho()

        async def greedy() -> None:
            with limits.org(1, Limits(25, 1_000.0, 1_000)) as org:
                await poll(org, zoho, requests=100)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(greedy())
            await asyncio.sleep(0.01)
            with limits.org(2, LIMITS) as org:
                await poll(org, Zoho(), requests=1)
            return now() - START

    assert run_turned(main()) < 4 * REQUEST_SECONDS


def test_the_requests_in_flight_of_a_process_never_exceed_its_concurrency() -> None:
    async def main() -> int:
        limits, zoho = limiter(concurrency=7), Zoho()

        async def one(number: int) -> None:
            with limits.org(number, LIMITS) as org:
                await poll(org, zoho)

        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(one(number))
        return zoho.most_in_flight

    assert run_turned(main()) == 7


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(["request"] * 4 + ["429", "good poll"])), min_size=1, max_size=25
    ),
    st.integers(1, 4),
)
def test_in_any_sequence_of_events_every_request_is_sent_and_none_within_a_hold(
    happened: list[tuple[float, str]], in_flight: int
) -> None:
    async def main() -> None:
        zoho, holds = Zoho(), list[tuple[float, float]]()
        with limiter().org(1, Limits(in_flight, 5.0, 3)) as org:
            async with asyncio.TaskGroup() as tasks:
                for gap, what in happened:
                    await asyncio.sleep(gap)
                    if what == "request":
                        tasks.create_task(poll(org, zoho, requests=1))
                    elif what == "429":
                        org.throttle()
                        holds.append((now() - START, org.state.hold_until - START))
                    else:
                        org.recover()
        assert len(zoho.left) == sum(what == "request" for _, what in happened)
        assert zoho.most_in_flight <= in_flight
        assert not [at for at in zoho.left for begin, end in holds if begin < at < end]

    run_turned(main())


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_stored_hold_delays_the_first_request_of_the_next_process() -> None:
    async def main() -> float:
        with limiter().org(1, LIMITS, RateLimitState(hold_until=START + 40, holds=1, rate_factor=0.5)) as org:
            return org.would_wait()

    assert run_turned(main()) == 40.0


def test_an_older_stored_state_does_not_replace_a_newer_one_in_memory() -> None:
    async def main() -> RateLimitState:
        limits = limiter()
        with limits.org(1, LIMITS) as org:
            org.throttle()
        with limits.org(1, LIMITS, INITIAL) as org:
            return org.state

    assert run_turned(main()).hold_until == START + 60


def test_an_org_without_any_request_leaves_no_state_in_memory() -> None:
    async def main() -> Limiter:
        limits = limiter()
        with limits.org(1, LIMITS):
            pass
        return limits

    assert run_turned(main())._remembered == {}


def test_the_states_of_idle_orgs_are_removed_from_memory() -> None:
    async def main() -> Limiter:
        limits, zoho = limiter(), Zoho()
        for number in range(6_000):
            with limits.org(number, LIMITS) as org:
                await poll(org, zoho, requests=1, seconds=0.01)
        return limits

    kept = run_turned(main())
    assert len(kept._remembered) <= 1_025
    assert not kept._in_use


def test_the_state_kept_for_an_idle_org_is_at_most_200_bytes() -> None:
    async def main() -> RateLimitState:
        limits = limiter()
        with limits.org(1, LIMITS) as org:
            await poll(org, Zoho())
            org.throttle()
        return limits._remembered[1]

    state = run_turned(main())
    assert sys.getsizeof(state) + sum(map(sys.getsizeof, state)) <= 200


def test_the_clock_of_the_limiter_never_goes_back() -> None:
    clock = steady_clock()
    readings = [clock() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0] > START


# --- several data centres -------------------------------------------------------------------------------------------


def test_hanging_requests_to_one_data_centre_do_not_take_permits_reserved_for_another() -> None:
    async def main() -> tuple[Zoho, Zoho]:
        limits, silent, healthy = limiter(concurrency=8), Zoho(), Zoho()
        limits.share_out({"us": 1.0, "eu": 1.0})

        async def hang(org_id: int) -> None:
            with limits.org(org_id, LIMITS, data_center="us") as org:
                await poll(org, silent, requests=4, seconds=100.0)

        async with asyncio.TaskGroup() as tasks:
            for org_id in range(1, 9):
                tasks.create_task(hang(org_id))
            await asyncio.sleep(1.0)
            with limits.org(10, LIMITS, data_center="eu") as org:
                await poll(org, healthy, requests=4)
        return silent, healthy

    silent, healthy = run_turned(main())
    assert silent.most_in_flight == 6
    assert healthy.left == pytest.approx([1.0, 1.0, 1.2, 1.2], abs=1e-5)


def test_waiting_requests_get_permits_when_the_shares_change() -> None:
    async def main() -> float:
        limits = limiter(concurrency=4)
        limits.share_out({"us": 1.0, "eu": 1.0})
        with limits.org(1, LIMITS, data_center="us") as org, limits.org(2, LIMITS, data_center="us") as other:
            for one in (org, org, other):
                await one.acquire()
            waiting = asyncio.create_task(other.acquire())
            await asyncio.sleep(1.0)
            assert not waiting.done()
            limits.share_out({"us": 1.0})
            await waiting
            return now() - START

    assert run_turned(main()) == pytest.approx(1.0, abs=1e-5)


def test_common_permits_are_given_in_turn_to_the_waiting_data_centres() -> None:
    async def main() -> list[str]:
        limits, left = limiter(concurrency=1), list[str]()

        async def ask(org_id: int, data_center: str) -> None:
            with limits.org(org_id, LIMITS, data_center=data_center) as org:
                async with org:
                    left.append(data_center)
                    await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as tasks:
            for org_id, data_center in enumerate(("us", "us", "us", "eu", "eu")):
                tasks.create_task(ask(org_id, data_center))
        return left

    assert run_turned(main()) == ["us", "us", "eu", "us", "eu"]
