"""The arithmetic of a capacity plan: what must hold for any fleet."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from poller.analysis.capacity import Capacity, Costs, OrgGroup, plan_fleet, plan_group

COSTS = Costs(
    requests_per_poll=10.0,
    extra_requests=2.0,
    request_seconds=0.2,
    token_seconds=3_150.0,
    processor_seconds=0.001,
    database_seconds=0.0005,
    snapshot_bytes=140.0,
    daily_count_bytes=168.0,
    seat_reading_bytes=120.0,
)
CAPACITY = Capacity(concurrency=64, polls_at_once=32, snapshot_days=395, daily_days=None)
ENTERPRISE = OrgGroup(
    orgs=1_000, interval_seconds=900, effective_seconds=900, daily_credits=90_000, share_credits=9_000, in_flight=10
)

groups = st.builds(
    OrgGroup,
    orgs=st.integers(0, 100_000),
    interval_seconds=st.integers(1, 86_400),
    effective_seconds=st.integers(1, 86_400),
    daily_credits=st.integers(5_000, 5_000_000),
    share_credits=st.integers(0, 5_000),
    in_flight=st.integers(1, 25),
)
costs = st.builds(
    Costs,
    requests_per_poll=st.floats(1, 30),
    extra_requests=st.floats(0, 10),
    request_seconds=st.floats(0.01, 15),
    token_seconds=st.floats(1, 3_600),
    processor_seconds=st.floats(1e-5, 1),
    database_seconds=st.floats(1e-5, 1),
    snapshot_bytes=st.floats(50, 1_000),
    daily_count_bytes=st.floats(50, 1_000),
    seat_reading_bytes=st.floats(50, 1_000),
)
days = st.none() | st.integers(1, 4_000)
capacities = st.builds(
    Capacity,
    concurrency=st.integers(1, 1_000),
    polls_at_once=st.integers(1, 500),
    snapshot_days=days,
    daily_days=days,
)


@given(group=groups, costs=costs)
def test_no_org_spends_more_than_its_share_of_credits_and_every_slot_is_polled_or_refused(
    group: OrgGroup, costs: Costs
) -> None:
    plan = plan_group(group, costs)
    assert 0 <= plan.credits_per_org <= group.share_credits * (1 + 1e-9)
    assert 0 <= plan.allowance_share <= 1
    assert plan.refused_per_org >= 0
    assert plan.polls_per_org + plan.refused_per_org == pytest.approx(86_400 / group.effective_seconds)


@given(group=groups, costs=costs, capacity=capacities, more=st.integers(0, 10_000))
def test_more_orgs_never_need_less(group: OrgGroup, costs: Costs, capacity: Capacity, more: int) -> None:
    _, few = plan_fleet([group], costs, capacity)
    _, many = plan_fleet([replace(group, orgs=group.orgs + more)], costs, capacity)
    for name in ("credits_a_day", "requests_per_second", "workers", "cores", "rows_a_year", "bytes_after_a_year"):
        assert getattr(many, name) >= getattr(few, name) * (1 - 1e-9), name


@given(fleet=st.lists(groups, max_size=6), costs=costs, capacity=capacities)
def test_the_totals_are_the_sums_of_the_groups(fleet: list[OrgGroup], costs: Costs, capacity: Capacity) -> None:
    plans, whole = plan_fleet(fleet, costs, capacity)
    assert whole.orgs == sum(group.orgs for group in fleet)
    assert whole.credits_a_day == pytest.approx(sum(one.orgs * one.credits_per_org for one in plans))
    assert whole.requests_per_second == pytest.approx(sum(one.requests_per_second for one in plans))
    assert whole.bytes_a_year == pytest.approx(sum(one.bytes_a_year for one in plans))
    assert whole.rows_a_year == pytest.approx(sum(one.snapshot_rows_a_year + one.daily_rows_a_year for one in plans))
    halves = [replace(group, orgs=part) for group in fleet for part in (group.orgs // 2, -(-group.orgs // 2))]
    _, again = plan_fleet(halves, costs, capacity)
    assert again.credits_a_day == pytest.approx(whole.credits_a_day)
    assert again.bytes_after_a_year == pytest.approx(whole.bytes_after_a_year)


@given(fleet=st.lists(groups, max_size=6), costs=costs, capacity=capacities)
def test_the_workers_have_room_for_the_polls_and_requests_under_way(
    fleet: list[OrgGroup], costs: Costs, capacity: Capacity
) -> None:
    _, whole = plan_fleet(fleet, costs, capacity)
    assert whole.cores <= whole.workers
    assert whole.polls_under_way <= whole.workers * capacity.polls_at_once
    assert whole.requests_under_way <= whole.workers * capacity.concurrency
    assert (whole.workers == 0) == (whole.polls_per_second == 0)


@given(fleet=st.lists(groups, max_size=6), costs=costs, capacity=capacities)
def test_a_shorter_retention_never_takes_more_disk(fleet: list[OrgGroup], costs: Costs, capacity: Capacity) -> None:
    _, whole = plan_fleet(fleet, costs, capacity)
    _, for_ever = plan_fleet(fleet, costs, replace(capacity, snapshot_days=None, daily_days=None))
    assert whole.bytes_after_a_year <= for_ever.bytes_after_a_year * (1 + 1e-9)
    assert for_ever.bytes_after_a_year == pytest.approx(for_ever.bytes_a_year)
    assert whole.later_bytes_a_year <= for_ever.later_bytes_a_year
    assert (whole.snapshot_bytes_at_most is None) == (capacity.snapshot_days is None)


@pytest.mark.parametrize("fleet", [[], [replace(ENTERPRISE, orgs=0)]])
def test_a_fleet_without_orgs_costs_nothing(fleet: list[OrgGroup]) -> None:
    _, whole = plan_fleet(fleet, COSTS, CAPACITY)
    assert (whole.orgs, whole.workers, whole.credits_a_day, whole.bytes_after_a_year) == (0, 0, 0, 0)


def test_the_figures_of_a_thousand_orgs_every_quarter_of_an_hour() -> None:
    (plan,), whole = plan_fleet([ENTERPRISE], COSTS, CAPACITY)
    assert plan.credits_per_org == 96 * 10 + 2
    assert plan.allowance_share == 962 / 90_000
    assert whole.polls_per_second == pytest.approx(1_000 * 96 / 86_400)
    # A token lasts for four polls; no credits are spent on it.
    assert whole.requests_per_second == pytest.approx(1_000 * (962 + 24) / 86_400)
    assert whole.polls_under_way == pytest.approx(whole.polls_per_second * 0.2)
    assert whole.workers == 1
    snapshots, daily, seats = 1_000 * 96 * 365 * 140, 1_000 * 10 * 365 * 168, 1_000 * 365 * 120
    assert whole.bytes_after_a_year == pytest.approx(snapshots + daily + seats)
    assert whole.snapshot_bytes_at_most == pytest.approx(snapshots * (395 + 31) / 365)
    assert whole.later_bytes_a_year == pytest.approx(daily + seats)


def test_polls_beyond_the_share_of_credits_are_refused_and_have_their_rows() -> None:
    busy = replace(COSTS, requests_per_poll=12.0)
    plan = plan_group(replace(ENTERPRISE, share_credits=960), busy)
    assert plan.credits_per_org == pytest.approx(960)
    assert plan.polls_per_org == pytest.approx((960 - 2) / 12)
    assert plan.refused_per_org == pytest.approx(96 - (960 - 2) / 12)
    assert plan.snapshot_rows_a_year == 1_000 * 96 * 365


def test_an_org_whose_share_is_less_than_ten_credits_is_never_polled() -> None:
    plan = plan_group(replace(ENTERPRISE, effective_seconds=86_400, share_credits=9), COSTS)
    assert (plan.polls_per_org, plan.credits_per_org, plan.refused_per_org) == (0, 0, 1)
    assert math.isfinite(plan.bytes_a_year)
