"""Properties that forecasts have on any history."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from poller.analysis.forecast import Forecasts, forecast
from poller.analysis.intervals import ErrorPool
from poller.analysis.quantiles import as_lists, as_matrices
from poller.analysis.run_out import run_out

counts = st.lists(st.one_of(st.integers(0, 2_000), st.none()), min_size=1, max_size=140)


def of(*histories: object, horizon: int = 90) -> Forecasts:
    """The forecasts of a few histories, in one chunk."""
    (chunk,) = forecast([np.array(history, dtype=float) for history in histories], horizon)
    return chunk


@settings(max_examples=60, deadline=None)
@given(st.lists(counts, min_size=1, max_size=4), st.integers(1, 365))
def test_forecast_points_are_whole_ordered_and_never_negative_for_any_history(
    histories: list[list[int | None]], horizon: int
) -> None:
    known = [[np.nan if value is None else value for value in [*history, 7]] for history in histories]
    made = of(*known, horizon=horizon)
    lines = [made.low95, made.low80, made.mean, made.high80, made.high95]
    for lower, higher in itertools.pairwise(lines):
        assert (lower <= higher).all()
    for line in lines:
        assert line.shape == (len(histories), horizon)
        assert (line >= 0).all()
        assert (line % 1 == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=40, max_size=120), st.integers(1, 60))
def test_unknown_days_between_known_days_take_the_last_known_count(history: list[int], gap: int) -> None:
    held = [*history, *([history[-1]] * gap), history[-1]]
    unknown = [*history, *([np.nan] * gap), history[-1]]
    assert (of(held).mean == of(unknown).mean).all()


def test_a_count_that_never_moved_has_a_flat_forecast_with_intervals_that_widen() -> None:
    made = of([40] * 200, horizon=365)
    assert made.method(0) == "flat"
    assert made.per_day[0] == 0
    assert (made.mean == 40).all()
    assert made.low80[0, 0] == made.high80[0, 0] == 40
    assert made.high95[0, -1] > 40


def test_a_longer_unchanged_history_makes_the_interval_narrower() -> None:
    assert of([60] * 400, horizon=180).high95[0, -1] <= of([60] * 40, horizon=180).high95[0, -1]


def test_steady_growth_continues_in_the_forecast_and_has_a_run_out_day() -> None:
    history = np.floor(100 + 0.5 * np.arange(300))
    made = of(history)
    assert made.method(0) == "trend"
    assert made.per_day[0] == pytest.approx(0.5, rel=0.1)
    last = history[-1]
    assert made.mean[0, 29] == pytest.approx(last + 15, abs=2)
    out = run_out(made.mean, made.low80, made.high80, np.array([last + 20.0]))
    assert 34 <= out.day[0] <= 46
    assert out.low[0] <= out.day[0]
    assert out.high[0] == 0 or out.high[0] >= out.day[0]


def test_the_trend_changes_by_little_from_one_day_to_the_next_while_the_count_does_not_change() -> None:
    """Old moves count less each day; if they were left out at a certain age, the run-out day would jump that day."""
    rng = np.random.default_rng(3)
    joined = (rng.random((12, 460)) < 0.1) * rng.integers(1, 6, (12, 460))
    for history in 100 + np.cumsum(joined, axis=1).astype(float):
        trends = of(*(history[:end] for end in range(400, 461)), horizon=1).per_day
        still = np.diff(history)[399:] == 0
        before, after = trends[:-1][still], trends[1:][still]
        assert (before > 0).all()
        assert (np.abs(after - before) <= 0.03 * before).all()


def test_growth_that_is_uncertain_counts_more_in_an_org_that_is_large_enough_for_it() -> None:
    steps = np.zeros(150)
    steps[10::35] = 12
    growth = np.cumsum(steps)
    small, large = of(10 + growth, 1_000 + growth).per_day
    assert 0 < small < 0.4 * large
    assert large < growth[-1] / 150


def test_noise_around_a_level_is_not_a_trend_and_the_forecast_is_the_level() -> None:
    rng = np.random.default_rng(5)
    history = np.rint(500 + rng.normal(0, 8, 300))
    history[-1] = 520
    made = of(history)
    assert abs(made.mean[0, 0] - 500) < 12
    assert abs(made.mean[0, -1] - 500) < 25


def test_one_outlier_in_the_past_does_not_change_the_forecast() -> None:
    history = np.floor(200 + 0.2 * np.arange(250))
    glitch = history.copy()
    glitch[200] = 2_000
    glitch[120:122] = 0
    assert (of(history).mean == of(glitch).mean).all()


def test_the_forecast_starts_from_the_level_after_a_lasting_step_and_the_step_is_not_a_trend() -> None:
    made = of([100] * 200 + [130] * 30)
    assert made.mean[0, 0] == 130
    assert made.mean[0, -1] <= 133


def test_a_weekly_pattern_is_forecast_by_weekday() -> None:
    week = np.array([40, 42, 41, 40, 38, 10, 8])
    made = of(np.tile(week, 40) + 100.0)
    assert made.method(0) == "flat+week"
    assert np.abs(made.mean[0, :7] - (week + 100)).max() <= 1
    assert np.abs(made.mean[0, 84:90] - (week[:6] + 100)).max() <= 1


def test_forecast_intervals_have_their_nominal_coverage_on_moving_series() -> None:
    """Random changes of 300 series over a year; the last 90 days are compared with the forecasts."""
    rng = np.random.default_rng(11)
    moves = (rng.random((300, 490)) < 0.3) * rng.integers(-2, 3, (300, 490))
    series = np.maximum(rng.integers(50, 800, 300)[:, None] + np.cumsum(moves, axis=1), 0).astype(float)
    history, truth = series[:, :400], series[:, 400:]
    made = of(*history)
    for day in (7, 30, 90):
        inside80 = (made.low80[:, day - 1] <= truth[:, day - 1]) & (truth[:, day - 1] <= made.high80[:, day - 1])
        inside95 = (made.low95[:, day - 1] <= truth[:, day - 1]) & (truth[:, day - 1] <= made.high95[:, day - 1])
        assert 0.72 <= inside80.mean() <= 0.93, day
        assert inside95.mean() >= 0.91, day


def test_each_forecast_has_a_backtest_on_its_own_history() -> None:
    rng = np.random.default_rng(2)
    history = 300 + np.cumsum((rng.random(400) < 0.3) * rng.integers(-2, 3, 400))
    long, short = of(history).backtest, of(history[:40]).backtest
    assert long.windows[0] == 4
    assert 0 <= long.scaled_error[0] < 5
    assert 0 <= long.coverage80[0] <= 1
    assert short.windows[0] == 0
    assert np.isnan(short.scaled_error[0])


@pytest.mark.parametrize("horizon", [0, -1, 366])
def test_a_horizon_out_of_bounds_is_refused(horizon: int) -> None:
    with pytest.raises(ValueError, match="1 to 365"):
        of([1, 2, 3], horizon=horizon)


def test_there_is_no_run_out_day_if_seats_are_unknown_or_not_reached() -> None:
    made = of([40] * 100)
    assert [int(day[0]) for day in run_out(made.mean, made.low95, made.high95, np.array([np.nan]))] == [0, 0, 0]
    assert [int(day[0]) for day in run_out(made.mean, made.low95, made.high95, np.array([10_000.0]))] == [0, 0, 0]


def test_seats_that_are_all_in_use_run_out_on_the_first_forecast_day() -> None:
    made = of([40] * 100)
    assert [int(day[0]) for day in run_out(made.mean, made.low95, made.high95, np.array([40.0]))] == [1, 1, 1]


def test_stored_quantiles_are_read_back_and_anything_else_counts_as_absent() -> None:
    good = as_lists(ErrorPool().quantiles())
    restored = as_matrices(good)
    assert restored is not None
    assert as_lists(restored) == good
    holed = [[None, *row[1:]] for row in good[0]]
    for wrong in ([[1.0, 2.0]], [], [1.0], good[0][:-1], [row[:-1] for row in good[0]], holed, [[1.0], [1.0, 2.0]]):
        assert as_matrices((wrong, good[1])) is None  # type: ignore[arg-type]
        assert as_matrices((good[0], wrong)) is None  # type: ignore[arg-type]
