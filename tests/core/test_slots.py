from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core.durations import format_duration
from poller.core.slots import parse_interval, phase_of, slot_of, slots_between

moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)
intervals = st.integers(min_value=1, max_value=86_400)


@given(at=moments, interval=intervals)
def test_a_time_is_within_its_slot(at: datetime, interval: int) -> None:
    slot = slot_of(at, interval)
    assert slot <= at < slot + timedelta(seconds=interval)
    assert slot.timestamp() % interval == 0


@given(seconds=intervals)
def test_an_interval_is_read_back_as_it_was_printed(seconds: int) -> None:
    assert parse_interval(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "15x", "-5", "1.5h", "0", "2d", "٣m"])
def test_an_invalid_interval_is_refused_with_a_readable_message(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|outside 1s to 1d"):
        parse_interval(text)


@given(start=moments, interval=st.integers(60, 3_600), count=st.integers(0, 50))
def test_each_slot_of_a_period_is_listed_once(start: datetime, interval: int, count: int) -> None:
    found = slots_between(start, start + timedelta(seconds=interval * count), interval)
    assert len(found) == count
    assert found == sorted({slot_of(slot, interval) for slot in found})


def test_ten_thousand_orgs_are_spread_evenly_over_the_interval() -> None:
    tenths = [0] * 10
    for org_id in range(1, 10_001):
        tenths[int(phase_of(org_id, 900) / 90)] += 1
    assert max(tenths) < 1_150
    assert min(tenths) > 850


@given(seed=st.integers(0, 2**31))
def test_any_fleet_is_spread_over_every_quarter_of_the_interval(seed: int) -> None:
    ids = random.Random(seed).sample(range(1, 2**31), 200)
    assert {int(phase_of(org_id, 900) / 225) for org_id in ids} == {0, 1, 2, 3}
