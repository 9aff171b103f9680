from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from poller.core.rate_limit import (
    DAY_SECONDS,
    EDITIONS,
    FREE,
    INITIAL,
    MAX_HOLD_SECONDS,
    MIN_RATE_FACTOR,
    Limits,
    RateLimitState,
    affordable_interval,
    compact,
    credits_to_spend,
    daily_credits,
    edition_of,
    is_idle,
    is_known_edition,
    limits_of,
    recovered,
    reserve,
    stricter_of,
    throttled,
    would_wait,
)
from poller.core.slots import LONGEST_INTERVAL_SECONDS

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


def leave(quota: RateLimitState, now: float, limits: Limits) -> tuple[RateLimitState, float]:
    """The state after one request, and the time when the request was sent after its wait."""
    waited, wait = reserve(quota, now, limits)
    while wait:
        assert waited is quota
        now += wait
        waited, wait = reserve(quota, now, limits)
    return waited, now


# --- editions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paid_type", "licences", "credits_a_day", "in_flight"),
    [
        ("free", 3, 5_000, 5),
        ("standard", 10, 52_500, 10),
        ("starter", 1_000, 100_000, 10),
        ("professional", 10, 55_000, 15),
        ("professional", 10_000, 3_000_000, 15),
        ("enterprise", 100, 150_000, 20),
        ("zohooneenterprise", 1_000_000, 5_000_000, 20),
        ("ultimate", 100_000, 200_050_000, 25),
        ("crmplus", 10, 70_000, 25),
    ],
)
def test_the_limits_of_every_edition_are_those_that_zoho_documents(
    paid_type: str, licences: int, credits_a_day: int, in_flight: int
) -> None:
    assert daily_credits(paid_type, licences) == credits_a_day
    assert edition_of(paid_type).in_flight == in_flight
    assert is_known_edition(paid_type)


def test_an_edition_is_recognised_in_any_letter_case() -> None:
    assert edition_of("CRM Plus") is EDITIONS["crmplus"]
    assert edition_of("Zoho One-Enterprise") is EDITIONS["zohooneenterprise"]
    assert edition_of(" ENTERPRISE ") is EDITIONS["enterprise"]


@pytest.mark.parametrize("paid_type", [None, "", "trial", "platinum"])
def test_an_unknown_edition_gets_the_strictest_limits_and_is_marked_as_unknown(paid_type: str | None) -> None:
    assert edition_of(paid_type) is FREE
    assert not is_known_edition(paid_type)
    for edition in EDITIONS.values():
        assert daily_credits(paid_type, 100) <= edition.credits(None)
        assert edition_of(paid_type).in_flight <= edition.in_flight


def test_an_unknown_number_of_licences_is_treated_as_zero() -> None:
    assert daily_credits("enterprise", None) == daily_credits("enterprise", -5) == 50_000


# --- in flight ------------------------------------------------------------------------------------------------------


def test_half_of_the_requests_in_flight_are_left_to_other_apps_of_the_customer() -> None:
    assert [limits_of(name).in_flight for name in ("free", "standard", "professional", "ultimate")] == [2, 5, 7, 12]


@given(st.sampled_from([None, *EDITIONS]), st.floats(0.0, 1.0))
def test_at_least_one_request_and_at_most_the_limit_of_the_edition_can_be_in_flight(
    paid_type: str | None, share: float
) -> None:
    limits = limits_of(paid_type, share)
    assert 1 <= limits.in_flight <= edition_of(paid_type).in_flight
    assert limits.rate > 0


def test_a_share_of_1_allows_all_requests_in_flight() -> None:
    assert limits_of("ultimate", 1.0).in_flight == 25


# --- credits and the interval ---------------------------------------------------------------------------------------


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


# --- spacing --------------------------------------------------------------------------------------------------------


def test_the_ten_requests_of_a_poll_are_sent_at_once_and_the_next_one_is_delayed() -> None:
    quota = INITIAL
    for _ in range(10):
        quota, wait = reserve(quota, NOW, LIMITS)
        assert wait == 0.0
    same, wait = reserve(quota, NOW, LIMITS)
    assert same is quota
    assert wait == pytest.approx(0.1, abs=1e-5)


@given(limits_given, factors, st.lists(st.floats(0.0, 5.0), min_size=2, max_size=60))
def test_no_time_window_has_more_requests_than_the_rate_and_one_burst(
    limits: Limits, factor: float, gaps: list[float]
) -> None:
    quota, now, left = RateLimitState(rate_factor=factor), NOW, []
    for gap in gaps:
        quota, now = leave(quota, now + gap, limits)
        left.append(now)
    for first, start in enumerate(left):
        for last in range(first, len(left)):
            let_through = last - first + 1
            allowed = limits.rate * factor * (left[last] - start) + max(limits.burst * factor, 1.0)
            assert let_through <= allowed + 1e-3 * (1 + limits.rate)


@given(limits_given, factors, st.integers(1, 40))
def test_requests_below_the_rate_limit_never_wait(limits: Limits, factor: float, requests: int) -> None:
    quota, spacing = RateLimitState(rate_factor=factor), 1 / (limits.rate * factor)
    for number in range(requests):
        quota, wait = reserve(quota, NOW + number * (spacing + 1e-6), limits)
        assert wait == 0.0


@given(limits_given, factors, st.floats(0.0, 90.0), st.integers(0, 15))
def test_sending_a_request_changes_only_the_time_of_the_next_one(
    limits: Limits, factor: float, held_seconds: float, holds: int
) -> None:
    quota = RateLimitState(0.0, NOW - held_seconds, holds, factor)
    after, wait = reserve(quota, NOW, limits)
    assert wait == 0.0
    assert after == quota._replace(due_at=NOW + 1.0 / (limits.rate * factor))


@given(limits_given, factors, st.integers(1, 15), st.floats(0.0, 90.0), st.integers(0, 15))
def test_the_predicted_wait_equals_the_actual_wait(
    limits: Limits, factor: float, requests: int, hold: float, before: int
) -> None:
    quota = RateLimitState(rate_factor=factor)
    for _ in range(before):
        quota, _at = leave(quota, NOW, limits)
    quota = quota._replace(hold_until=NOW + hold)
    assert (would_wait(quota, NOW, limits) == 0.0) == (reserve(quota, NOW, limits)[1] == 0.0)
    foretold = would_wait(quota, NOW, limits, requests)
    at = NOW
    for _ in range(requests):
        quota, at = leave(quota, at, limits)
    assert foretold == pytest.approx(at - NOW, abs=1e-3)


# --- holds and the rate ---------------------------------------------------------------------------------------------


def test_a_429_halves_the_rate_and_starts_a_hold_of_a_minute() -> None:
    quota = throttled(INITIAL, NOW)
    assert quota.rate_factor == 0.5
    assert quota.hold_until == NOW + 60


def test_consecutive_holds_double_up_to_an_hour() -> None:
    quota, now, held = INITIAL, NOW, []
    for _ in range(9):
        quota = throttled(quota, now)
        held.append(quota.hold_until - now)
        now = quota.hold_until
    assert held == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]


def test_the_retry_after_of_zoho_replaces_the_default_hold_whether_shorter_or_longer() -> None:
    assert throttled(INITIAL, NOW, 7.0).hold_until == NOW + 7
    assert throttled(INITIAL, NOW, 7_200.0).hold_until == NOW + 7_200
    assert throttled(INITIAL, NOW, 0.0).hold_until == NOW + 1
    assert throttled(INITIAL, NOW, 10.0**9).hold_until == NOW + DAY_SECONDS


def test_no_number_of_429s_lowers_the_rate_below_its_minimum() -> None:
    quota, now = INITIAL, NOW
    for _ in range(50):
        quota = throttled(quota, now)
        now = quota.hold_until
    assert quota.rate_factor == MIN_RATE_FACTOR


def test_ten_simultaneous_429s_halve_the_rate_only_once() -> None:
    quota = INITIAL
    for late in range(10):
        quota = throttled(quota, NOW + late * 0.01)
    assert quota == throttled(INITIAL, NOW)


def test_a_429_within_a_hold_can_lengthen_it_but_never_shortens_it() -> None:
    held = throttled(INITIAL, NOW)
    assert throttled(held, NOW + 1, 300.0).hold_until == NOW + 301
    assert throttled(held, NOW + 1, 2.0).hold_until == NOW + 60


def test_a_successful_poll_raises_the_rate_by_a_step_and_resets_the_length_of_holds() -> None:
    quota = recovered(throttled(throttled(INITIAL, NOW), NOW + 60))
    assert quota.rate_factor == 0.25 + 0.125
    assert quota.holds == 0


def test_the_rate_recovers_completely_in_eight_successful_polls() -> None:
    quota = RateLimitState(rate_factor=MIN_RATE_FACTOR)
    for _ in range(7):
        quota = recovered(quota)
        assert quota.rate_factor < 1.0
    assert recovered(quota).rate_factor == 1.0


@given(limits_given, events)
def test_no_request_is_sent_before_the_end_of_a_hold(limits: Limits, happened: list[tuple[str, float, float]]) -> None:
    quota, now = INITIAL, NOW
    for what, gap, retry_after in happened:
        now += gap
        if what == "request":
            held_until = quota.hold_until
            quota, now = leave(quota, now, limits)
            assert now >= held_until
        elif what == "ok":
            quota = recovered(quota)
        else:
            quota = throttled(quota, now, retry_after if "Retry-After" in what else None)
            assert quota.hold_until > now


@given(events)
def test_the_rate_always_stays_between_its_minimum_and_the_full_rate(happened: list[tuple[str, float, float]]) -> None:
    quota, now = INITIAL, NOW
    for what, gap, retry_after in happened:
        now += gap
        before = quota
        if what == "ok":
            quota = recovered(quota)
            assert quota.rate_factor >= before.rate_factor
        elif what != "request":
            quota = throttled(quota, now, retry_after if "Retry-After" in what else None)
            assert quota.rate_factor <= before.rate_factor
            assert quota.hold_until >= before.hold_until
            assert "Retry-After" in what or quota.hold_until - now <= max(MAX_HOLD_SECONDS, before.hold_until - now)
        assert MIN_RATE_FACTOR <= quota.rate_factor <= 1.0


def test_a_poll_of_a_free_org_at_the_minimum_rate_is_sent_within_the_maximum_wait() -> None:
    assert would_wait(RateLimitState(rate_factor=MIN_RATE_FACTOR), NOW, limits_of("free"), requests=10) <= 16


# --- keeping it -----------------------------------------------------------------------------------------------------


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
    limits: Limits, quota: RateLimitState, gaps: list[float]
) -> None:
    kept, now = compact(quota), NOW
    for gap in gaps:
        now += gap
        assert would_wait(kept, now, limits, 10) == would_wait(quota, now, limits, 10)
        (quota, wait), (kept, waited) = reserve(quota, now, limits), reserve(kept, now, limits)
        assert waited == wait
    assert kept[1:] == quota[1:]


def test_the_rate_limit_state_of_an_org_takes_at_most_200_bytes() -> None:
    quota, _ = reserve(throttled(INITIAL, NOW - 3_600)._replace(holds=10**6), NOW, LIMITS)
    assert sys.getsizeof(quota) + sum(map(sys.getsizeof, quota)) <= 200


def test_editions_have_different_paid_types_and_increasing_limits() -> None:
    in_order = list(dict.fromkeys(EDITIONS.values()))
    assert sum(len(edition.paid_types) for edition in in_order) == len(EDITIONS)
    assert all(a.in_flight < b.in_flight for a, b in pairwise(in_order))
