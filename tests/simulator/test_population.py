from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from poller.simulator import USER_TYPES, expected_count, expected_counts, population
from tests.processor import processor_seconds, ten_milliseconds

seeds = st.integers(0, 50)
orgs = st.integers(0, 50_000)
moments = st.datetimes(min_value=datetime(2016, 1, 1), max_value=datetime(2045, 1, 1)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)
MAY = datetime(2026, 5, 4, tzinfo=UTC)


@given(seed=seeds, org=orgs, at=moments)
def test_the_ten_counts_agree_with_each_other_at_every_instant(seed: int, org: int, at: datetime) -> None:
    counts = expected_counts(seed, org, at)
    assert tuple(counts) == USER_TYPES
    assert counts["ConfirmedUsers"] + counts["NotConfirmedUsers"] == counts["AllUsers"]
    assert counts["ActiveUsers"] + counts["DeactiveUsers"] == counts["AllUsers"]
    assert counts["ActiveConfirmedUsers"] <= min(counts["ActiveUsers"], counts["ConfirmedUsers"])
    assert counts["ActiveConfirmedAdmins"] <= min(counts["AdminUsers"], counts["ActiveConfirmedUsers"])
    assert counts["AdminUsers"] <= counts["AllUsers"]
    assert counts["CurrentUser"] == 1
    assert min(counts.values()) >= 0
    assert counts["ActiveConfirmedAdmins"] >= 1


@given(seed=seeds, org=orgs, at=moments, later=st.timedeltas(timedelta(0), timedelta(days=900)))
def test_the_number_of_deleted_users_never_falls(seed: int, org: int, at: datetime, later: timedelta) -> None:
    assert expected_count(seed, org, "DeletedUsers", at) <= expected_count(seed, org, "DeletedUsers", at + later)


@given(seed=seeds, org=orgs, at=moments)
def test_there_is_a_licence_for_every_active_user(seed: int, org: int, at: datetime) -> None:
    licences = population.licences_at(population.shape_of(seed, org), at.timestamp())
    assert licences >= expected_count(seed, org, "ActiveUsers", at)


@given(seed=seeds, org=orgs, week=st.integers(0, 1_500), hours=st.floats(0, 47.9))
def test_no_count_changes_on_a_weekend(seed: int, org: int, week: int, hours: float) -> None:
    offset = timedelta(seconds=population.shape_of(seed, org).offset_seconds)
    saturday = datetime(2018, 1, 6, tzinfo=UTC) + timedelta(weeks=week) - offset
    assert expected_counts(seed, org, saturday + timedelta(hours=hours)) == expected_counts(seed, org, saturday)


@given(org=orgs)
def test_the_winter_offset_of_an_org_is_that_of_its_time_zone(org: int) -> None:
    shape = population.shape_of(1, org)
    offsets = {datetime(2026, month, 1, tzinfo=ZoneInfo(shape.time_zone)).utcoffset() for month in (1, 7)}
    assert timedelta(seconds=shape.offset_seconds) in offsets


def test_the_same_seed_gives_the_same_counts() -> None:
    story = [expected_counts(3, org, MAY) for org in range(40)]
    population.shape_of.cache_clear()
    assert story == [expected_counts(3, org, MAY) for org in range(40)]
    assert story != [expected_counts(4, org, MAY) for org in range(40)]


def test_head_counts_move_on_working_days_and_grow_over_a_year() -> None:
    growing = sum(
        expected_count(1, org, "AllUsers", MAY + timedelta(days=365)) > expected_count(1, org, "AllUsers", MAY)
        for org in range(200)
    )
    moving = sum(
        expected_counts(1, org, MAY) != expected_counts(1, org, MAY + timedelta(days=30)) for org in range(200)
    )
    assert growing > 120
    assert moving > 120


def test_some_orgs_shrink_and_some_have_more_administrators_for_a_week() -> None:
    weeks = [MAY + timedelta(weeks=week) for week in range(-52, 52)]
    active = [[expected_count(1, org, "ActiveUsers", at) for at in weeks] for org in range(100)]
    admins = [[expected_count(1, org, "AdminUsers", at) for at in weeks] for org in range(100)]
    assert any(series[-1] < series[0] for series in active)
    assert any(after - before >= 3 for series in admins for before, after in itertools.pairwise(series))


def test_an_unknown_user_type_has_no_count() -> None:
    with pytest.raises(KeyError):
        expected_count(1, 0, "allusers", MAY)


def test_computing_the_counts_of_a_back_fill_takes_seconds() -> None:
    """50 orgs, 180 days, hourly: 216,000 times. A tenth is computed here at 20 µs each, with a margin."""

    def compute() -> None:
        for org in range(50):
            for hour in range(432):
                expected_counts(1, org, MAY + timedelta(hours=hour))

    assert processor_seconds(compute) < 130 * ten_milliseconds()
