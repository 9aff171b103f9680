from __future__ import annotations

import sys

import pytest
from hypothesis import given, strategies as st

from poller.core.durations import DAY_SECONDS
from poller.core.editions import Limits, limits_of
from poller.core.rate_limit import (
    INITIAL,
    MAX_HOLD_SECONDS,
    MIN_RATE_FACTOR,
    RateLimitState,
    compact,
    is_idle,
    recovered,
    reserve,
    stricter_of,
    throttled,
    would_wait,
)

NOW = 1_764_000_000.25
LIMITS = Limits(in_flight=5, rate=10.0, burst=10)

limits_given = st.builds(Limits, st.integers(1, 25), st.floats(0.01, 200.0), st.integers(1, 30))
factors = st.sampled_from([MIN_RATE_FACTOR, 1 / 8, 0.3, 0.5, 0.75, 1.0])
events = st.lists(
    st.tuples(
        st.sampled_from(["request", "request", "request", "request", "429", "429 with Retry-After", "ok"]),
        st.floats(0.0, 90.0),
        st.floats(0.0, 200_000.0),
    ),
    max_size=60,
)


def leave(state: RateLimitState, now: float, limits: Limits) -> tuple[RateLimitState, float]:
    """The state after one request, and the time when the request was sent after its wait."""
    waited, wait = reserve(state, now, limits)
    while wait:
        assert waited is state
        now += wait
        waited, wait = reserve(state, now, limits)
    return waited, now


# --- spacing ----------------------------------------------------------------------------------------------------------


def test_the_ten_requests_of_a_poll_are_sent_at_once_and_the_next_one_is_delayed() -> None:
    state = INITIAL
    for _ in range(10):
        state, wait = reserve(state, NOW, LIMITS)
        assert wait == 0.0
    same, wait = reserve(state, NOW, LIMITS)
    assert same is state
    assert wait == pytest.approx(0.1, abs=1e-5)


@given(limits_given, factors, st.lists(st.floats(0.0, 5.0), min_size=2, max_size=60))
def test_no_time_window_has_more_requests_than_the_rate_and_one_burst(
    limits: Limits, factor: float, gaps: list[float]
) -> None:
    state, now, left = RateLimitState(rate_factor=factor), NOW, []
    for gap in gaps:
        state, now = leave(state, now + gap, limits)
        left.append(now)
    for first, start in enumerate(left):
        for last in range(first, len(left)):
            let_through = last - first + 1
            allowed = limits.rate * factor * (left[last] - start) + max(limits.burst * factor, 1.0)
            assert let_through <= allowed + 1e-3 * (1 + limits.rate)


@given(limits_given, factors, st.integers(1, 40))
def test_requests_below_the_rate_limit_never_wait(limits: Limits, factor: float, requests: int) -> None:
    state, spacing = RateLimitState(rate_factor=factor), 1 / (limits.rate * factor)
    for number in range(requests):
        state, wait = reserve(state, NOW + number * (spacing + 1e-6), limits)
        assert wait == 0.0


@given(limits_given, factors, st.floats(0.0, 90.0), st.integers(0, 15))
def test_sending_a_request_changes_only_the_time_of_the_next_one(
    limits: Limits, factor: float, held_seconds: float, holds: int
) -> None:
    state = RateLimitState(0.0, NOW - held_seconds, holds, factor)
    after, wait = reserve(state, NOW, limits)
    assert wait == 0.0
    assert after == state._replace(due_at=NOW + 1.0 / (limits.rate * factor))


@given(limits_given, factors, st.integers(1, 15), st.floats(0.0, 90.0), st.integers(0, 15))
def test_the_predicted_wait_equals_the_actual_wait(
    limits: Limits, factor: float, requests: int, hold: float, before: int
) -> None:
    state = RateLimitState(rate_factor=factor)
    for _ in range(before):
        state, _at = leave(state, NOW, limits)
    state = state._replace(hold_until=NOW + hold)
    assert (would_wait(state, NOW, limits) == 0.0) == (reserve(state, NOW, limits)[1] == 0.0)
    foretold = would_wait(state, NOW, limits, requests)
    at = NOW
    for _ in range(requests):
        state, at = leave(state, at, limits)
    assert foretold == pytest.approx(at - NOW, abs=1e-3)


# --- holds and the rate -----------------------------------------------------------------------------------------------


def test_a_429_halves_the_rate_and_starts_a_hold_of_a_minute() -> None:
    state = throttled(INITIAL, NOW)
    assert state.rate_factor == 0.5
    assert state.hold_until == NOW + 60


def test_consecutive_holds_double_up_to_an_hour() -> None:
    state, now, held = INITIAL, NOW, []
    for _ in range(9):
        state = throttled(state, now)
        held.append(state.hold_until - now)
        now = state.hold_until
    assert held == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]


def test_the_retry_after_of_zoho_replaces_the_default_hold_whether_shorter_or_longer() -> None:
    assert throttled(INITIAL, NOW, 7.0).hold_until == NOW + 7
    assert throttled(INITIAL, NOW, 7_200.0).hold_until == NOW + 7_200
    assert throttled(INITIAL, NOW, 0.0).hold_until == NOW + 1
    assert throttled(INITIAL, NOW, 10.0**9).hold_until == NOW + DAY_SECONDS


def test_no_number_of_429s_lowers_the_rate_below_its_minimum() -> None:
    state, now = INITIAL, NOW
    for _ in range(50):
        state = throttled(state, now)
        now = state.hold_until
    assert state.rate_factor == MIN_RATE_FACTOR


def test_ten_simultaneous_429s_halve_the_rate_only_once() -> None:
    state = INITIAL
    for late in range(10):
        state = throttled(state, NOW + late * 0.01)
    assert state == throttled(INITIAL, NOW)


def test_a_429_within_a_hold_can_lengthen_it_but_never_shortens_it() -> None:
    held = throttled(INITIAL, NOW)
    assert throttled(held, NOW + 1, 300.0).hold_until == NOW + 301
    assert throttled(held, NOW + 1, 2.0).hold_until == NOW + 60


def test_a_successful_poll_raises_the_rate_by_a_step_and_resets_the_length_of_holds() -> None:
    state = recovered(throttled(throttled(INITIAL, NOW), NOW + 60))
    assert state.rate_factor == 0.25 + 0.125
    assert state.holds == 0


def test_the_rate_recovers_completely_in_eight_successful_polls() -> None:
    state = RateLimitState(rate_factor=MIN_RATE_FACTOR)
    for _ in range(7):
        state = recovered(state)
        assert state.rate_factor < 1.0
    assert recovered(state).rate_factor == 1.0


@given(limits_given, events)
def test_no_request_is_sent_before_the_end_of_a_hold(limits: Limits, happened: list[tuple[str, float, float]]) -> None:
    state, now = INITIAL, NOW
    for what, gap, retry_after in happened:
        now += gap
        if what == "request":
            held_until = state.hold_until
            state, now = leave(state, now, limits)
            assert now >= held_until
        elif what == "ok":
            state = recovered(state)
        else:
            state = throttled(state, now, retry_after if "Retry-After" in what else None)
            assert state.hold_until > now


@given(events)
def test_the_rate_always_stays_between_its_minimum_and_the_full_rate(happened: list[tuple[str, float, float]]) -> None:
    state, now = INITIAL, NOW
    for what, gap, retry_after in happened:
        now += gap
        before = state
        if what == "ok":
            state = recovered(state)
            assert state.rate_factor >= before.rate_factor
        elif what != "request":
            state = throttled(state, now, retry_after if "Retry-After" in what else None)
            assert state.rate_factor <= before.rate_factor
            assert state.hold_until >= before.hold_until
            assert "Retry-After" in what or state.hold_until - now <= max(MAX_HOLD_SECONDS, before.hold_until - now)
        assert MIN_RATE_FACTOR <= state.rate_factor <= 1.0


def test_a_poll_of_a_free_org_at_the_minimum_rate_is_sent_within_the_maximum_wait() -> None:
    assert would_wait(RateLimitState(rate_factor=MIN_RATE_FACTOR), NOW, limits_of("free"), requests=10) <= 16


# --- keeping it -------------------------------------------------------------------------------------------------------


def test_merging_the_rate_limit_states_of_two_workers_takes_the_stricter_values() -> None:
    held, slowed = RateLimitState(due_at=5.0, hold_until=90.0, holds=2), RateLimitState(due_at=7.0, rate_factor=0.25)
    assert stricter_of(held, slowed) == stricter_of(slowed, held) == RateLimitState(7.0, 90.0, 2, 0.25)


def test_only_a_state_that_behaves_like_the_initial_one_is_idle() -> None:
    assert is_idle(INITIAL, NOW)
    assert is_idle(RateLimitState(due_at=NOW, hold_until=NOW), NOW)
    assert not is_idle(RateLimitState(due_at=NOW + 1), NOW)
    assert not is_idle(RateLimitState(hold_until=NOW + 1), NOW)
    assert not is_idle(RateLimitState(rate_factor=0.5), NOW)
    assert not is_idle(RateLimitState(holds=1), NOW)


@given(
    limits_given,
    st.builds(RateLimitState, st.floats(NOW - 90, NOW + 90), st.floats(NOW - 90, NOW + 90), st.integers(0, 3), factors),
    st.lists(st.floats(0.0, 30.0), min_size=1, max_size=20),
)
def test_the_compact_form_of_a_rate_limit_state_behaves_like_the_state(
    limits: Limits, state: RateLimitState, gaps: list[float]
) -> None:
    kept, now = compact(state), NOW
    for gap in gaps:
        now += gap
        assert would_wait(kept, now, limits, 10) == would_wait(state, now, limits, 10)
        (state, wait), (kept, waited) = reserve(state, now, limits), reserve(kept, now, limits)
        assert waited == wait
    assert kept[1:] == state[1:]


def test_the_rate_limit_state_of_an_org_takes_at_most_200_bytes() -> None:
    state, _ = reserve(throttled(INITIAL, NOW - 3_600)._replace(holds=10**6), NOW, LIMITS)
    assert sys.getsizeof(state) + sum(map(sys.getsizeof, state)) <= 200
