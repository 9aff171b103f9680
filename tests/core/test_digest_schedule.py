"""When a digest is due: every day or one day a week, at a local hour, across changes of the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from poller.core.digest_schedule import DigestSchedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("daily 08:00 Europe/Berlin", "daily 08:00 Europe/Berlin"),
        ("  Monday   8:05 UTC ", "monday 08:05 UTC"),
        ("SUNDAY 23:59 America/St_Johns", "sunday 23:59 America/St_Johns"),
    ],
)
def test_a_schedule_is_read_and_written(written: str, means: str) -> None:
    assert str(DigestSchedule.parse(written)) == means
    assert DigestSchedule.parse(means) == DigestSchedule.parse(written)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("08:00", "not a day, a time and a time zone"),
        ("daily 08:00", "not a day, a time and a time zone"),
        ("tomorrow 08:00 UTC", "'tomorrow' is neither daily nor a day of the week"),
        ("daily 24:00 UTC", "'24:00' is not a time"),
        ("daily 8 UTC", "'8' is not a time"),
        ("daily 08:00 Berlin", "'Berlin' is not a time zone"),
        ("daily 08:00 ../../etc/passwd", "is not a time zone"),
        ("daily 08:00 Europe", "'Europe' is not a time zone"),
    ],
)
def test_anything_else_is_refused_with_the_part_that_is_wrong(written: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        DigestSchedule.parse(written)


def test_a_daily_digest_is_about_the_day_before_it_is_due() -> None:
    schedule = DigestSchedule.parse("daily 08:00 Europe/Berlin")
    period = schedule.latest(at("2026-11-27T07:00:00"))
    assert period == (at("2026-11-26T07:00:00"), at("2026-11-27T07:00:00"))
    assert schedule.latest(at("2026-11-27T06:59:59")).until == at("2026-11-26T07:00:00")
    assert schedule.latest(at("2026-11-28T06:59:59")).until == at("2026-11-27T07:00:00")


def test_a_weekly_digest_is_due_on_its_day_only() -> None:
    schedule = DigestSchedule.parse("monday 08:00 Asia/Tokyo")
    period = schedule.latest(at("2026-11-27T12:00:00"))
    assert period == (at("2026-11-15T23:00:00"), at("2026-11-22T23:00:00"))
    assert schedule.latest(at("2026-11-22T22:59:59")).until == at("2026-11-15T23:00:00")


@pytest.mark.parametrize(
    ("written", "day", "due", "hours"),
    [
        ("daily 08:00 Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29T06:00:00", 23),
        ("daily 08:00 Europe/Berlin", "2026-10-25T12:00:00", "2026-10-25T07:00:00", 25),
        # The clock skips 02:30 on 29 March, and has it twice on 25 October.
        ("daily 02:30 Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29T01:30:00", 24),
        ("daily 02:30 Europe/Berlin", "2026-10-25T12:00:00", "2026-10-25T00:30:00", 24),
        ("sunday 08:00 Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29T06:00:00", 7 * 24 - 1),
    ],
)
def test_a_change_of_the_clock_moves_no_digest(written: str, day: str, due: str, hours: int) -> None:
    since, until = DigestSchedule.parse(written).latest(at(day))
    assert (until, until - since) == (at(due), timedelta(hours=hours))


@pytest.mark.parametrize(
    ("written", "periods"),
    [("daily 02:30 Europe/Berlin", 366), ("sunday 00:15 America/New_York", 53), ("daily 23:59 UTC", 365)],
)
def test_each_moment_belongs_to_one_period_and_periods_follow_each_other(written: str, periods: int) -> None:
    schedule = DigestSchedule.parse(written)
    moment, ends = at("2026-01-01T00:00:00"), set()
    while moment < at("2027-01-01T00:00:00"):
        since, until = schedule.latest(moment)
        assert since < until <= moment
        assert schedule.latest(until).until == until
        assert schedule.latest(until - timedelta(seconds=1)).until == since
        ends.add(until)
        moment += timedelta(hours=7)
    assert len(ends) == periods
