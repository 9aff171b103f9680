from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from poller.core.alerts import QuietHours
from poller.core.quiet_hours import quiet_until

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "UTC")
MINUTE = timedelta(minutes=1)
NIGHT = QuietHours(time(22), time(7), "Europe/Berlin")
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
MOMENTS = st.datetimes(datetime(2015, 1, 2), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-27T20:59", None),
        ("2026-11-27T21:00", "2026-11-28T06:00"),
        ("2026-11-28T02:00", "2026-11-28T06:00"),
        ("2026-11-28T05:59:59", "2026-11-28T06:00"),
        ("2026-11-28T06:00", None),
        ("2026-07-01T21:00", "2026-07-02T05:00"),
    ],
)
def test_a_night_in_berlin(now: str, until: str | None) -> None:
    assert quiet_until(NIGHT, utc(now)) == (None if until is None else utc(until))


def test_a_night_in_which_the_clocks_change_ends_on_the_local_clock() -> None:
    assert quiet_until(NIGHT, utc("2026-03-29T00:30")) == utc("2026-03-29T05:00")
    assert quiet_until(NIGHT, utc("2026-10-25T00:30")) == utc("2026-10-25T06:00")


def test_an_end_that_the_clock_skips_is_the_moment_of_the_change() -> None:
    skipped = QuietHours(time(1), time(2, 30), "Europe/Berlin")
    assert quiet_until(skipped, utc("2026-03-29T00:15")) == utc("2026-03-29T01:00")


def test_an_end_that_the_clock_shows_twice_is_the_second_and_a_start_the_first() -> None:
    assert quiet_until(QuietHours(time(1), time(2, 30), "Europe/Berlin"), utc("2026-10-25T00:40")) == utc(
        "2026-10-25T01:30"
    )
    start = QuietHours(time(2, 30), time(4), "Europe/Berlin")
    assert quiet_until(start, utc("2026-10-25T00:29")) is None
    assert quiet_until(start, utc("2026-10-25T00:30")) == utc("2026-10-25T03:00")
    assert quiet_until(start, utc("2026-10-25T01:10")) == utc("2026-10-25T03:00")


def test_a_day_that_a_zone_skips_has_no_quiet_hours_of_its_own() -> None:
    # Samoa had no 30 December 2011.
    assert quiet_until(QuietHours(time(22), time(7), "Pacific/Apia"), utc("2011-12-30T09:00")) == utc(
        "2011-12-30T17:00"
    )


def test_equal_start_and_end_are_no_quiet_hours() -> None:
    assert quiet_until(QuietHours(time(8), time(8), "UTC"), utc("2026-11-27T08:00")) is None
    assert quiet_until(None, utc("2026-11-27T08:00")) is None


@settings(max_examples=400)
@given(start=TIMES, end=TIMES, zone=st.sampled_from(ZONES), now=MOMENTS)
def test_messages_wait_exactly_until_the_local_clock_shows_the_end(
    start: time, end: time, zone: str, now: datetime
) -> None:
    quiet = QuietHours(start, end, zone)
    until = quiet_until(quiet, now)
    local = now.astimezone(ZoneInfo(zone))
    if until is None:
        # Outside the hours by the local clock, unless the clock skips or repeats a part of them on this day.
        assert start == end or not shows(quiet, local) or changes_near(local)
        return
    assert now < until <= now + timedelta(hours=26)
    assert quiet_until(quiet, until) is None
    ends = until.astimezone(ZoneInfo(zone))
    assert ends.time() == end or changes_near(ends)
    if not changes_near(local) and not changes_near(ends):
        assert shows(quiet, local)


def shows(quiet: QuietHours, local: datetime) -> bool:
    """Whether the time on the clock lies in the hours: the naive model."""
    at = local.time()
    if quiet.start < quiet.end:
        return quiet.start <= at < quiet.end
    return at >= quiet.start or at < quiet.end


def changes_near(local: datetime) -> bool:
    """Whether the offset from UTC changes within two days."""
    moment = local.astimezone(UTC)
    offsets = {(moment + timedelta(hours=hours)).astimezone(local.tzinfo).utcoffset() for hours in range(-48, 49, 6)}
    return len(offsets) > 1
