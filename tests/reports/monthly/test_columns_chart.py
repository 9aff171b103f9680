"""The chart of all customers: a column a month, from 0 on, and unknown months without one."""

from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.calendar_month import CalendarMonth
from poller.reports.monthly.columns_chart import HEIGHT, columns_chart, height_of

MONTH = CalendarMonth(2026, 1)


def test_an_unknown_month_has_no_column_and_a_dash() -> None:
    svg = columns_chart([(MONTH, 10), (MONTH.later(1), None), (MONTH.later(2), 20)], "users")
    assert svg.count("<rect") == 2
    assert ">–</text>" in svg
    assert columns_chart([(MONTH, None)], "users") == ""


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_heights_are_in_the_order_of_the_values_and_only_0_has_none(one: int, other: int) -> None:
    highest = max(one, other, 1)
    low, high = height_of(min(one, other), highest), height_of(max(one, other), highest)
    assert 0 <= low <= high <= HEIGHT
    assert (low == 0) == (min(one, other) == 0)
