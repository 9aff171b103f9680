from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from poller.core.clock import after_reading, certain_difference, describe_difference

WAITS = st.floats(0.0, 10.0)


def test_the_first_clock_reading_is_dated_to_the_middle_of_its_round_trip() -> None:
    offset = after_reading(None, 100.0, 1_104.0, 108.0)
    assert (offset.seconds, offset.low, offset.high, offset.doubt_seconds) == (1_000.0, 996.0, 1_004.0, 4.0)


@given(st.lists(st.tuples(WAITS, WAITS), min_size=1, max_size=20))
def test_the_clock_offset_stays_within_its_proven_bounds_for_any_latency(trips: list[tuple[float, float]]) -> None:
    truth, at, offset = 1_000.0, 50.0, None
    for there, back in trips:
        offset = after_reading(offset, at, at + there + truth, at + there + back)
        assert offset.low - 1e-6 <= truth <= offset.high + 1e-6
        assert abs(offset.seconds - truth) <= offset.doubt_seconds + 1e-6
        at += there + back + 5.0


def test_a_slow_answer_does_not_change_an_offset_proven_by_a_quick_one() -> None:
    quick = after_reading(None, 100.0, 1_100.0005, 100.001)
    slow = after_reading(quick, 105.0, 1_112.5, 113.0)
    assert slow.seconds == quick.seconds
    assert slow.doubt_seconds < 0.02


def test_the_offset_follows_a_clock_change_at_once() -> None:
    before = after_reading(None, 100.0, 1_100.0, 100.0)
    assert after_reading(before, 105.0, 8_305.0, 105.0).seconds == 8_200.0


@pytest.mark.parametrize(
    ("ahead", "doubt", "wrong"),
    [(4.9, 0.0, 0.0), (5.1, 0.0, 5.1), (-7_200.0, 0.1, -7_200.0), (8.0, 4.0, 0.0), (-9.5, 4.0, -9.5)],
)
def test_only_a_certain_clock_difference_is_reported(ahead: float, doubt: float, wrong: float) -> None:
    assert certain_difference(ahead, doubt) == wrong


def test_a_clock_difference_is_described_in_whole_seconds() -> None:
    assert describe_difference(7_200.4) == "this machine's clock is 7,200 s ahead of PostgreSQL's"
    assert describe_difference(-61.0) == "this machine's clock is 61 s behind PostgreSQL's"
