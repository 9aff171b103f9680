"""Months are parsed, counted and named as people write them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core.calendar_month import CalendarMonth

months = st.builds(CalendarMonth, st.integers(1_100, 9_000), st.integers(1, 12))


@given(months)
def test_a_month_is_read_as_it_is_written(month: CalendarMonth) -> None:
    assert CalendarMonth.parse(str(month)) == month
    assert CalendarMonth.of(month.first) == CalendarMonth.of(month.last) == month


@given(months, st.integers(-500, 500), st.integers(-500, 500))
def test_months_later_and_earlier_add_up_and_touch_each_other(month: CalendarMonth, one: int, other: int) -> None:
    assert month.later(one).later(other) == month.later(one + other)
    assert month.last + timedelta(days=1) == month.later(1).first


@pytest.mark.parametrize("text", ["", "2026-13", "2026-00", "26-10", "2026-1", "October", "2026-10-1", "0001-01"])
def test_anything_else_is_not_a_month(text: str) -> None:
    with pytest.raises(ValueError, match="is not a month"):
        CalendarMonth.parse(text)


def test_the_same_day_of_a_shorter_month_is_its_last_day() -> None:
    assert CalendarMonth(2025, 2).same_day_in(date(2024, 2, 29)) == date(2025, 2, 28)
    assert CalendarMonth(2025, 11).same_day_in(date(2026, 11, 27)) == date(2025, 11, 27)
    assert CalendarMonth(2026, 10).words == "October 2026"
