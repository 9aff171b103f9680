"""The days on which a rule would have had an alert."""

from __future__ import annotations

import pytest

from poller.analysis.alert_spans import DayReading, find_gaps, find_spans

DAY = 86_400


def readings(text: str) -> list[DayReading]:
    """A letter per day: `x` holds, `.` does not, a space is unknown; the value is the number of the day."""
    return [DayReading(day, letter == "x", day) for day, letter in enumerate(text) if letter != " "]


@pytest.mark.parametrize(
    ("text", "wait", "clear", "spans"),
    [
        ("..xx.", 0, 0, [(2, 3)]),
        ("..xx", 0, 0, [(2, None)]),
        ("x.x.x", 0, 0, [(0, 0), (2, 2), (4, None)]),
        ("x x.", 0, 0, [(0, 2)]),
        ("xx.xxx.", 3 * DAY, 0, [(3, 5)]),
        ("x.xx", 2 * DAY, 0, [(2, None)]),
        ("x.x..x..", 0, 2 * DAY, [(0, 2), (5, 5)]),
        ("x..", 3_600, 3_600, [(0, 0)]),
        ("....", 0, 0, []),
        ("", 0, 0, []),
    ],
)
def test_the_days_of_alerts_follow_from_one_reading_a_day(
    text: str, wait: int, clear: int, spans: list[tuple[int, int | None]]
) -> None:
    found = find_spans(readings(text), for_seconds=wait, clear_seconds=clear)
    assert [(one.since, one.until) for one in found] == spans


def test_the_peak_is_the_value_farthest_from_the_threshold() -> None:
    (high,) = find_spans(readings("xxx."), for_seconds=0, clear_seconds=0)
    (low,) = find_spans(readings("xxx."), for_seconds=0, clear_seconds=0, lowest=True)
    assert (high.peak, low.peak) == (2, 0)


def test_a_gap_is_a_run_of_whole_days_that_is_long_enough() -> None:
    found = find_gaps(readings("x..xxx.xx."), hours=48)
    assert [(one.since, one.until, one.peak) for one in found] == [(3, 5, 72), (7, 8, 48)]
