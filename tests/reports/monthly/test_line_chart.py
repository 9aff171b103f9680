"""The chart of a customer: unknown days break the line, and everything lies within the picture."""

from __future__ import annotations

import re
from datetime import date, timedelta

from hypothesis import given, strategies as st

from poller.core.calendar_month import CalendarMonth
from poller.query.capacity import Point
from poller.reports.monthly.line_chart import HEIGHT, WIDTH, LineChart, line_chart

BEGIN = date(2025, 10, 1)
MONTH = CalendarMonth(2026, 10)


def chart(counts: list[int | None], **more: object) -> str:
    given = LineChart(BEGIN, counts, MONTH, MONTH.last, watched_from=BEGIN, **more)  # type: ignore[arg-type]
    return line_chart(given, "a label")


def users_path(svg: str) -> str:
    (path,) = re.findall(r'class="users" d="([^"]*)"', svg)
    return str(path)


def test_an_unknown_day_breaks_the_line_and_is_shaded() -> None:
    svg = chart([10, 11, None, None, 12, 13])
    assert users_path(svg).count("M") == 2
    assert svg.count('class="gap"') == 1


def test_a_day_between_two_gaps_is_a_dot_and_never_vanishes() -> None:
    assert "h0" in users_path(chart([10, None, 11, None, 12, 12]))


def test_days_before_the_first_poll_are_not_shaded() -> None:
    given = LineChart(BEGIN, [None, None, 5, None, 6], MONTH, MONTH.last, watched_from=BEGIN + timedelta(days=2))
    assert line_chart(given, "a label").count('class="gap"') == 1


def test_without_a_known_count_there_is_no_chart() -> None:
    assert chart([None, None]) == ""


def test_seats_far_above_the_users_are_named_and_do_not_flatten_the_line() -> None:
    near, far = (chart([100, 101, 102], seats=[(BEGIN, seats)]) for seats in (120, 5_000))
    assert 'class="seats"' in near
    assert 'class="seats"' not in far
    assert "5,000 seats, above this chart" in far


def test_the_label_is_escaped_because_it_has_the_name_of_a_customer() -> None:
    svg = line_chart(LineChart(BEGIN, [1, 2], MONTH, MONTH.last), 'Users of "A&B" <script>')
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 10_000_000)), min_size=1, max_size=460),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20_000_000)), max_size=4),
    st.integers(0, 92),
    st.integers(0, 1_000_000),
)
def test_every_number_of_the_picture_lies_within_it(
    counts: list[int | None], seats: list[tuple[int, int]], days: int, users: int
) -> None:
    last = BEGIN + timedelta(days=len(counts) - 1)
    fan = [
        Point(last + timedelta(days=n), users, max(users - n, 0), users + n, max(users - 2 * n, 0), users + 3 * n)
        for n in range(1, days + 1)
    ]
    changes = [(BEGIN + timedelta(days=day), number) for day, number in sorted(seats)]
    svg = chart(counts, seats=changes, fan=fan)
    for path in re.findall(r' d="M([^"]*)"', svg):
        for corner in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path):
            assert 0 <= float(corner[0]) <= WIDTH
            assert 0 <= float(corner[1]) <= HEIGHT
    for x, width in re.findall(r'<rect class="\w+" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg):
        assert float(x) + float(width) <= WIDTH
    assert "nan" not in svg
    assert "e+" not in svg
