"""How numbers and times are written, and what a sparkline shows."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, strategies as st

from poller.core.chart_scale import LEAST_SPAN, scale
from poller.web.pages.formats import change, day, interval, moment, number, percent, short, span
from poller.web.pages.sparkline import sparkline


def test_unknown_is_a_dash_and_never_zero() -> None:
    assert [number(None), change(None), short(None), percent(None, 5), percent(5, None), day(None)] == ["–"] * 6
    assert [number(0), change(0), short(0), percent(0, 5)] == ["0", "+0", "0", "0 %"]


@pytest.mark.parametrize(
    ("value", "written"), [(1_373_335, "1.37 M"), (24_512, "24.5 k"), (9_999, "9,999"), (145_000, "145 k"), (-3, "−3")]
)
def test_large_numbers_are_shortened_to_three_digits(value: int, written: str) -> None:
    assert short(value) == written


def test_a_share_is_100_percent_only_if_nothing_is_missing() -> None:
    assert percent(4_999, 5_000) == "99 %"
    assert percent(5_000, 5_000) == "100 %"
    assert percent(1, 5_000) == "1 %"


def test_spans_and_days_are_written_in_their_largest_unit() -> None:
    assert [span(seconds) for seconds in (8, 90, 7_300, 90_000, 400_000)] == ["8 s", "1 m", "2 h", "25 h", "4 d"]
    assert [interval(seconds) for seconds in (90, 900, 5_400, 3_600)] == ["90 s", "15 m", "90 m", "1 h"]


def test_a_day_of_another_year_is_written_with_its_year() -> None:
    today = date(2026, 11, 27)
    assert day(date(2026, 2, 4), today) == "4 Feb"
    assert day(date(2027, 1, 12), today) == "12 Jan 2027"
    assert day(date(2025, 12, 31), today) == "31 Dec 2025"
    assert moment(datetime(2025, 12, 31, 9, 5, tzinfo=UTC), today) == "31 Dec 2025 09:05 UTC"
    assert moment(datetime(2026, 12, 31, 9, 5, tzinfo=UTC), today) == "31 Dec 09:05 UTC"


def test_a_gap_interrupts_a_sparkline_and_a_lone_reading_is_a_dot() -> None:
    assert sparkline([0, 10, None, 5, None, 5, 5, 5]) == "M0 19l4-18M12 10h0M20 10h8"
    assert sparkline([None, None]) == ""
    assert sparkline([7]) == "M0 10h0"
    assert sparkline([0, None, 10]) == "M0 19h0M8 1h0"


@given(st.lists(st.none() | st.integers(0, 2**31), min_size=1, max_size=40))
def test_a_sparkline_stays_in_its_box_and_has_a_point_for_every_reading(values: list[int | None]) -> None:
    path = sparkline(values)
    x, y, points = 0, 0, 0
    for command, numbers in re.findall(r"([Mlh])([0-9 -]+)", path):
        moves = [int(number) for number in re.findall(r"-?[0-9]+", numbers)]
        if command == "M":
            x, y, points = *moves, points + 1
        elif command == "h":
            x, points = x + moves[0], points + moves[0] // 4
        else:
            x, y, points = x + moves[0], y + moves[1], points + 1
        assert 0 <= x <= 4 * (len(values) - 1)
        assert 1 <= y <= 19
    assert points == sum(value is not None for value in values)


@given(st.lists(st.integers(0, 2**31), min_size=1))
def test_the_scale_of_a_sparkline_is_at_least_a_tenth_of_the_level(known: list[int]) -> None:
    low, high = scale(known)
    assert low <= min(known)
    assert high >= max(known)
    assert high - low >= LEAST_SPAN * max(known) * 0.999
