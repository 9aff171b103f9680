from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from poller.core.retention import Retention, format_retention, parse_retention

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("13mo", Retention(months=13)),
        ("400d", Retention(days=400)),
        (" 2 Y ", Retention(years=2)),
        ("forever", None),
        ("FOREVER", None),
    ],
)
def test_a_retention_is_parsed_and_formatted_back(text: str, meant: Retention | None) -> None:
    assert parse_retention(text) == meant
    assert parse_retention(format_retention(meant)) == meant


@pytest.mark.parametrize(
    "text", ["", "13", "0d", "-1mo", "13m", "1.5y", "for ever", "never", "13mo 2d", "123456d", "٣mo"]
)
def test_an_ambiguous_retention_is_refused_with_valid_examples(text: str) -> None:
    with pytest.raises(ValueError, match="use 13mo, 400d, 2y or forever"):
        parse_retention(text)


@pytest.mark.parametrize(
    ("retention", "now", "cutoff"),
    [
        (Retention(months=13), datetime(2026, 11, 26, 5, tzinfo=UTC), datetime(2025, 10, 26, 5, tzinfo=UTC)),
        (Retention(months=1), datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)),
        (Retention(years=1), datetime(2028, 2, 29, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
        (Retention(days=400), datetime(2026, 11, 26, tzinfo=UTC), datetime(2025, 10, 22, tzinfo=UTC)),
        (Retention(months=1), datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=2))),
         datetime(2026, 2, 28, 23, tzinfo=UTC)),
        (Retention(years=9_999), datetime(2026, 4, 1, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)),
    ],
)  # fmt: skip
def test_the_cutoff_of_a_retention_is_a_calendar_date(retention: Retention, now: datetime, cutoff: datetime) -> None:
    assert retention.cutoff(now) == cutoff


@given(MOMENTS, st.integers(1, 600))
def test_a_month_is_kept_until_the_whole_retention_has_passed_since_its_end(end: datetime, months: int) -> None:
    """A month can be dropped from the same day and hour `months` months after its end."""
    end = end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    due = end.year * 12 + end.month - 1 + months
    may_go = end.replace(year=due // 12, month=due % 12 + 1)
    retention = Retention(months=months)
    assert end <= retention.cutoff(may_go)
    assert end > retention.cutoff(may_go - timedelta(microseconds=1))


@given(MOMENTS, MOMENTS, st.integers(0, 40_000), st.integers(0, 1_200))
def test_the_cutoff_never_goes_back_as_time_passes(one: datetime, other: datetime, days: int, months: int) -> None:
    for retention in (Retention(days=days + 1), Retention(months=months + 1)):
        assert retention.cutoff(min(one, other)) <= retention.cutoff(max(one, other))
