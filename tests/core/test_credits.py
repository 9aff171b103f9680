from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.credits import affordable_interval, credits_to_spend
from poller.core.durations import DAY_SECONDS
from poller.core.editions import daily_credits
from poller.core.slots import LONGEST_INTERVAL_SECONDS


def test_a_free_org_at_a_tenth_of_its_credits_is_polled_every_half_hour() -> None:
    assert affordable_interval(900, daily_credits("free", 3), 0.10) == 1_800


def test_an_interval_within_the_credits_is_kept_even_if_it_is_not_round() -> None:
    assert affordable_interval(900, daily_credits("standard", 1), 0.10) == 900
    assert affordable_interval(1_728, 5_000, 0.10) == 1_728
    assert affordable_interval(2_001, 5_000, 0.10) == 2_001


def test_a_credit_share_too_small_for_any_poll_still_allows_one_poll_a_day() -> None:
    assert affordable_interval(900, 5_000, 0.0) == LONGEST_INTERVAL_SECONDS
    assert affordable_interval(900, 0, 0.10) == LONGEST_INTERVAL_SECONDS


def test_a_credit_share_is_not_rounded_down_by_a_floating_point_error() -> None:
    assert 100 * 0.29 < 29
    assert credits_to_spend(100, 0.29, spent=0) == 29


@given(st.integers(1, DAY_SECONDS), st.integers(0, 10_000_000), st.floats(0.0, 1.0), st.integers(1, 20))
def test_an_interval_is_never_shortened_and_its_polls_stay_within_the_credits(
    asked: int, allowance: int, share: float, cost: int
) -> None:
    interval = affordable_interval(asked, allowance, share, cost)
    assert asked <= interval <= LONGEST_INTERVAL_SECONDS
    polls_a_day = -(-DAY_SECONDS // interval)
    assert interval == LONGEST_INTERVAL_SECONDS or polls_a_day * cost <= allowance * share + 1e-5
    if interval != asked:
        assert DAY_SECONDS % interval == 0
        assert interval < 60 or interval % 60 == 0


@given(st.integers(1, DAY_SECONDS), st.integers(0, 1_000_000))
def test_the_chosen_interval_is_the_shortest_round_one_within_the_credits(asked: int, allowance: int) -> None:
    interval = affordable_interval(asked, allowance, 1.0)
    shorter = [s for s in range(asked, interval) if DAY_SECONDS % s == 0 and (s < 60 or s % 60 == 0)]
    assert all(DAY_SECONDS // s * 10 > allowance for s in shorter)


def test_credits_spent_in_the_last_day_are_subtracted_from_the_share() -> None:
    assert credits_to_spend(5_000, 0.10, spent=0) == 500
    assert credits_to_spend(5_000, 0.10, spent=495) == 5
    assert credits_to_spend(5_000, 0.10, spent=9_999) == 0


def test_a_recent_remaining_credits_header_reduces_the_share() -> None:
    assert credits_to_spend(5_000, 0.10, 0, remaining=1_000, remaining_age_seconds=60) == 100
    assert credits_to_spend(5_000, 0.10, 0, remaining=0) == 0
    assert credits_to_spend(5_000, 0.10, 0, remaining=0, remaining_age_seconds=3_600) == 500


@given(st.integers(0, 10**7), st.floats(0.0, 1.0), st.integers(0, 10**7), st.integers(-5, 10**7), st.floats(0, 90_000))
def test_a_remaining_credits_header_never_increases_the_share(
    allowance: int, share: float, spent: int, remaining: int, age: float
) -> None:
    with_word = credits_to_spend(allowance, share, spent, remaining, age)
    assert 0 <= with_word <= credits_to_spend(allowance, share, spent) <= allowance
