from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core.durations import format_duration, parse_seconds
from poller.core.retention import Retention, parse_retention
from poller.core.slots import parse_interval
from poller.query.parameters import Since, seconds_of
from poller.settings.values import duration

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), (" 1 H ", 3_600), ("1d", 86_400), ("2w", 1_209_600), ("6mo", 15_552_000)],
)
def test_every_unit_is_read_wherever_a_duration_is_written(text: str, seconds: int) -> None:
    assert parse_seconds(text) == seconds_of(text) == seconds
    assert Since(text).at(NOW) == NOW - timedelta(seconds=seconds)
    if seconds <= 86_400:
        assert parse_interval(text) == duration(text) == seconds


def test_an_interval_in_weeks_is_refused_for_its_length_and_not_for_its_unit() -> None:
    assert parse_interval("24h") == 86_400
    with pytest.raises(ValueError, match="outside 1s to 1d"):
        parse_interval("1w")


def test_a_retention_in_weeks_is_kept_in_days() -> None:
    assert parse_retention("60w") == Retention(days=420)


@pytest.mark.parametrize("text", ["", "90", "0d", "-5m", "1.5h", "15x", "1h 30m", "٣m", "9999999999s"])
def test_a_text_that_is_not_a_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write 15m, 1h, 1d, 12w or 1y"):
        parse_seconds(text)


def test_a_number_without_a_unit_is_read_only_where_a_unit_is_the_default() -> None:
    assert parse_seconds("90", bare_unit="s") == parse_interval("90") == 90
    assert parse_seconds("90", bare_unit="d") == 90 * 86_400


@given(seconds=st.integers(1, 10**9 - 1))
def test_a_duration_is_read_back_as_it_was_written(seconds: int) -> None:
    assert parse_seconds(format_duration(seconds)) == seconds
