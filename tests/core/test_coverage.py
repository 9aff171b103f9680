"""Hours with and without a known count, by reason, from the polls of each day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core.coverage import NOT_KEPT, NOT_POLLED, PAUSED, DayPolls, coverage_of

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = [date(2026, 10, 1) + timedelta(days=place) for place in range(5)]


def test_a_day_counts_with_the_share_of_its_polls_and_each_reason_with_its_own_share() -> None:
    polls = {DAYS[0]: DayPolls(24, 0), DAYS[1]: DayPolls(48, 48)}
    reasons = {DAYS[1]: {"unavailable: http_503": 12, "throttled: 429": 36}}
    found = coverage_of(polls, reasons, BEGIN, BEGIN + timedelta(days=2))
    assert found.hours == 48
    assert [(one.reason, one.hours, one.first, one.last) for one in found.unknown] == [
        ("throttled: 429", 9, DAYS[1], DAYS[1]),
        ("unavailable: http_503", 3, DAYS[1], DAYS[1]),
    ]
    assert (found.known_hours, found.unknown_hours) == (36, 12)


def test_a_day_without_polls_is_unknown_because_of_the_pause_or_because_nobody_asked() -> None:
    polls = {DAYS[0]: DayPolls(24, 0)}
    paused_since = datetime(2026, 10, 3, 9, tzinfo=UTC)
    found = coverage_of(polls, {}, BEGIN, BEGIN + timedelta(days=4), paused_since=paused_since)
    assert {one.reason: one.hours for one in found.unknown} == {NOT_POLLED: 24, PAUSED: 48}


def test_polls_that_were_never_made_make_their_part_of_the_day_unknown() -> None:
    found = coverage_of({DAYS[0]: DayPolls(18, 0)}, {DAYS[0]: {NOT_POLLED: 6}}, BEGIN, BEGIN + timedelta(days=1))
    assert found.unknown_hours == pytest.approx(6)


def test_unknown_polls_whose_reason_was_deleted_are_still_unknown() -> None:
    found = coverage_of({DAYS[0]: DayPolls(12, 12)}, {}, BEGIN, BEGIN + timedelta(days=1))
    assert [(one.reason, one.hours) for one in found.unknown] == [(NOT_KEPT, 12)]


def test_today_does_not_count_before_its_first_poll() -> None:
    now = BEGIN + timedelta(days=1, hours=5)
    assert coverage_of({DAYS[0]: DayPolls(24, 0)}, {}, BEGIN, now).hours == 24
    assert coverage_of({DAYS[0]: DayPolls(24, 0), DAYS[1]: DayPolls(5, 0)}, {}, BEGIN, now).hours == 29
    assert coverage_of({}, {}, now, BEGIN).hours == 0


@given(
    st.lists(st.tuples(st.integers(0, 96), st.integers(0, 96), st.integers(0, 96)), min_size=5, max_size=5),
    st.floats(0, 119),
    st.floats(0, 119),
)
def test_known_and_unknown_hours_add_up_to_the_stretch(
    days: list[tuple[int, int, int]], first: float, last: float
) -> None:
    polls = {day: DayPolls(known, unknown) for day, (known, unknown, _) in zip(DAYS, days, strict=True)}
    reasons = {
        day: {"missed: too_late": unknown // 2, NOT_POLLED: never}
        for day, (_, unknown, never) in zip(DAYS, days, strict=True)
    }
    begin, end = BEGIN + timedelta(hours=min(first, last)), BEGIN + timedelta(hours=max(first, last))
    found = coverage_of(polls, reasons, begin, end)
    assert 0 <= found.unknown_hours <= found.hours <= (end - begin) / timedelta(hours=1) + 1e-6
    assert found.known_hours + found.unknown_hours == pytest.approx(found.hours)
    assert sum(one.hours for one in found.unknown) == pytest.approx(found.unknown_hours)
