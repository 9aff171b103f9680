from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.redelivery import (
    GIVE_UP_SECONDS,
    JITTER,
    LONGEST_PAUSE_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    is_given_up,
    pause_seconds,
)

JITTERS = st.floats(0, 1)


def test_pauses_double_from_five_seconds_to_an_hour() -> None:
    assert [pause_seconds(failures, 0) for failures in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert pause_seconds(30, 0) == LONGEST_PAUSE_SECONDS


@given(failures=st.integers(1, 10_000), jitter=JITTERS)
def test_jitter_makes_a_pause_longer_by_a_quarter_at_most(failures: int, jitter: float) -> None:
    shortest = pause_seconds(failures, 0)
    assert shortest <= pause_seconds(failures, jitter) <= shortest * (1 + JITTER)


@given(failures=st.integers(1, 50), jitter=JITTERS, asked=st.floats(-1e6, 1e9))
def test_a_receiver_is_never_tried_before_it_asks_for_up_to_a_day(failures: int, jitter: float, asked: float) -> None:
    pause = pause_seconds(failures, jitter, asked)
    assert pause >= min(asked, LONGEST_RETRY_AFTER_SECONDS)
    assert 0 <= pause <= LONGEST_RETRY_AFTER_SECONDS * (1 + JITTER)


def test_a_refused_message_is_given_up_after_four_attempts_and_any_other_after_three_days() -> None:
    assert [is_given_up(attempts, 60, permanent=True) for attempts in (1, 3, 4)] == [False, False, True]
    assert not is_given_up(1_000, GIVE_UP_SECONDS - 1, permanent=False)
    assert is_given_up(1, GIVE_UP_SECONDS, permanent=False)
