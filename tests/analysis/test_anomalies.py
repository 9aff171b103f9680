"""Which anomalies are reported and which are not; later history does not change earlier anomalies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from poller.analysis.anomalies import DetectedAnomaly, in_org, in_series
from poller.core.model import USER_TYPES


def wandering(days: int, level: int = 200, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A level that changes by one user on about every third day."""
    rng = np.random.default_rng(seed)
    return np.asarray(level + np.cumsum((rng.random(days) < 0.3) * rng.choice([-1, 1], days)), dtype=float)


def org(days: int = 200) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """An org whose counts agree with one another."""
    active, deactive = wandering(days), np.full(days, 40.0)
    counts = {user_type.value: np.full(days, 10.0) for user_type in USER_TYPES}
    counts |= {"ActiveUsers": active, "DeactiveUsers": deactive, "AllUsers": active + deactive}
    counts |= {"NotConfirmedUsers": np.full(days, 5.0), "ConfirmedUsers": active + deactive - 5}
    return counts | {"CurrentUser": np.ones(days), "AdminUsers": np.full(days, 3.0)}


def kinds(found: list[DetectedAnomaly]) -> list[tuple[str, int]]:
    return [(one.kind, one.day) for one in found]


def test_an_ordinary_history_has_no_anomaly() -> None:
    assert in_series(wandering(400)) == []
    assert in_org(org()) == []


@pytest.mark.parametrize("share", [-0.3, -0.15, 0.15, 0.3])
def test_a_step_is_reported_on_its_day_with_the_count_before_and_the_expected_range(share: float) -> None:
    counts = wandering(200)
    counts[150:] = np.rint(counts[150:] * (1 + share))
    (found,) = in_series(counts, "ActiveUsers")
    assert (found.kind, found.user_type, found.day) == ("step", "ActiveUsers", 150)
    assert (found.before, found.after) == (counts[149], counts[150])
    assert found.expected_low is not None
    assert found.expected_high is not None
    assert not found.expected_low <= counts[150] <= found.expected_high
    assert "in a day" in found.why


def test_a_step_that_is_reversed_within_a_week_is_one_anomaly() -> None:
    counts = wandering(200)
    counts[150:153] += 60
    assert kinds(in_series(counts)) == [("step", 150)]


def test_a_fall_to_zero_is_critical_at_once() -> None:
    counts = wandering(200)
    counts[180:] = 0
    (found,) = in_series(counts)
    assert (found.kind, found.day, found.severity) == ("zero", 180, "critical")


def test_a_count_that_moves_daily_and_then_stands_still_is_frozen() -> None:
    counts = wandering(300)
    counts[200:] = counts[199]
    (found,) = in_series(counts)
    assert found.kind == "freeze"
    assert 203 <= found.day <= 240
    assert "has not moved for" in found.why


def test_a_count_that_rarely_moves_is_not_reported_as_frozen() -> None:
    counts = np.full(400, 20.0)
    counts[100:] += 1
    counts[250:] += 1
    assert in_series(counts) == []


def test_unknown_days_are_reported_as_quiet_and_not_as_frozen() -> None:
    counts = wandering(300)
    counts[200:] = np.nan
    (found,) = in_series(counts)
    assert (found.kind, found.day, found.after) == ("quiet", 202, None)


def test_every_increase_of_administrators_is_an_anomaly_and_no_decrease_is() -> None:
    counts = org()
    counts["AdminUsers"][100:] = 4
    counts["AdminUsers"][150:] = 2
    (found,) = in_org(counts)
    assert (found.kind, found.day, found.before, found.after) == ("admins_up", 100, 3, 4)


def test_a_surge_of_deactivations_is_reported_besides_the_step_that_it_causes() -> None:
    counts = org()
    counts["ActiveUsers"][120:] -= 60
    counts["DeactiveUsers"][120:] += 60
    assert kinds(in_org(counts)) == [("deactivated_surge", 120), ("step", 120)]


def test_sums_that_disagree_for_two_days_are_an_anomaly_and_for_one_day_are_not() -> None:
    counts = org()
    counts["ConfirmedUsers"][100] += 1
    assert in_org(counts) == []
    counts["ConfirmedUsers"][150:155] += 2
    (found,) = in_org(counts)
    assert (found.kind, found.user_type, found.day) == ("sums_disagree", "ConfirmedUsers", 151)
    assert found.after != found.expected_low


def test_a_current_user_count_other_than_1_is_reported_once_per_run_of_days() -> None:
    counts = org()
    counts["CurrentUser"][100:110] = 0
    assert kinds(in_org(counts)) == [("current_user", 100)]


def test_an_org_whose_counts_were_all_zero_for_days_causes_no_further_anomaly_when_they_return() -> None:
    counts = org()
    for values in counts.values():
        values[120:125] = 0
    assert kinds(in_org(counts)) == [("current_user", 120), ("zero", 120)]


def test_deactivated_users_that_rise_from_zero_to_many_are_a_surge() -> None:
    counts = org()
    counts["DeactiveUsers"][:] = 0
    counts["AllUsers"] = counts["ActiveUsers"].copy()
    counts["ActiveUsers"][120:] -= 60
    counts["DeactiveUsers"][120:] += 60
    counts["ConfirmedUsers"] = counts["AllUsers"] - 5
    assert kinds(in_org(counts)) == [("deactivated_surge", 120), ("step", 120)]


def test_a_change_over_unknown_days_is_compared_with_usual_changes_over_the_same_number_of_days() -> None:
    counts = wandering(200, level=30)
    counts[140:170] = np.nan
    counts[170:] = counts[139] + 8
    assert [kind for kind, _ in kinds(in_series(counts))] == ["quiet"]
    counts[140:170] = counts[139]
    assert ("step", 170) in kinds(in_series(counts))
    counts[140:170] = np.nan
    counts[170:] += 60
    assert ("step", 170) in kinds(in_series(counts))


def test_a_wrong_sum_of_all_users_is_one_anomaly_although_two_sums_disagree() -> None:
    counts = org()
    counts["AllUsers"][150:155] += 2
    (found,) = in_org(counts)
    assert (found.kind, found.user_type, found.day) == ("sums_disagree", "ActiveUsers", 151)


def test_a_count_is_not_frozen_if_few_changes_were_expected_in_the_unchanged_days() -> None:
    counts = np.full(400, 20.0)
    for day in range(10, 200, 15):
        counts[day:] += 1
    # Twice the longest standstill and three days have passed by day 240; two or three moves were due.
    assert [day for kind, day in kinds(in_series(counts)) if day < 270] == []
    assert kinds(in_series(counts))[0][0] == "freeze"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 300), st.none()), min_size=0, max_size=150),
    st.lists(st.one_of(st.integers(0, 300), st.none()), min_size=0, max_size=40),
)
def test_anomalies_found_earlier_do_not_change_with_later_history(
    past: list[int | None], later: list[int | None]
) -> None:
    def values(counts: list[int | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([np.nan if count is None else count for count in counts], dtype=float)

    before = in_series(values(past))
    after = in_series(values([*past, *later]))
    assert [one for one in after if one.day < len(past)] == before


def test_a_short_history_raises_no_anomaly_except_a_fall_to_zero() -> None:
    assert in_series(np.array([])) == []
    assert in_series(np.array([5.0])) == []
    assert in_series(np.array([50.0, 500.0])) == []
    assert kinds(in_series(np.array([50.0, 0.0]))) == [("zero", 1)]
