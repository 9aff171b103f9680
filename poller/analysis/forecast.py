"""Forecasts daily counts from a level, a damped trend and weekday effects, with intervals.

Gaps in a history are filled with the last known count, and single-day spikes are removed. If no window of the past
shows a significant move, there is no trend, and the method is called "flat". Weekday effects are used only if they
reduce the errors. If all counts of a history are whole numbers, so are its means and intervals. docs/forecasting.md
compares the method with others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poller.analysis.error_table import HORIZONS
from poller.analysis.history import MOST_DAYS, WEEK, Level, Matrix, Vector, find_level, hold, remove_spikes
from poller.analysis.intervals import ErrorPool, half_widths
from poller.analysis.scale import Scale, measure
from poller.analysis.trend import daily_trend, moves_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_HORIZON: Final = 365
CHUNK: Final = 500
"""Series computed at the same time: they take at most 100 MB."""
ORIGINS: Final = (30, 60, 90, 180)
"""How many days before the end the forecasts of the past start, which show how large errors are."""
BACKTEST_DAYS: Final = 30
_LEAST_DAYS: Final = 30
"""The shortest history before an origin, in days."""


class Backtest(NamedTuple):
    """The errors of forecasts of the series' own past, 30 days ahead.

    `scaled_error`: mean |error| in units of the mean 30-day move of the series (at least one user); NaN without a
    window. `coverage80`: the share of windows whose real count was inside the 80 % interval.
    """

    windows: np.ndarray[tuple[int], np.dtype[np.int64]]
    scaled_error: Vector
    coverage80: Vector


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Forecasts of some series, `rows` of the input; matrices have one row per series and one column per day ahead."""

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    mean: Matrix
    low80: Matrix
    high80: Matrix
    low95: Matrix
    high95: Matrix
    level: Vector
    per_day: Vector
    weekly: np.ndarray[tuple[int], np.dtype[np.bool_]]
    backtest: Backtest

    def method(self, row: int) -> str:
        """The parts of this row's forecast: `flat`, `trend`, `flat+week` or `trend+week`."""
        return ("trend" if self.per_day[row] else "flat") + ("+week" if self.weekly[row] else "")


class _Spread(NamedTuple):
    """The input of `half_widths` for these `days` ahead. `whole`: whether counts are whole numbers."""

    days: Vector
    deviations: Matrix
    changes: Vector
    whole: np.ndarray[tuple[int], np.dtype[np.bool_]]


class _SeriesState(NamedTuple):
    """What is known about some series at one origin."""

    level: Level
    trend: Vector
    scale: Scale
    whole: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def spread(self, days: Vector) -> _Spread:
        """The spread `days` days ahead."""
        return _Spread(days, self.scale.at(days), self.scale.changes, self.whole)


class _Window(NamedTuple):
    """A forecast of a month from the past of some series (`rows`), and the real counts; NaN if unknown."""

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    mean: Matrix
    spread: _Spread
    truth: Vector


def forecast(
    histories: Sequence[Vector], horizon: int, quantiles: tuple[Matrix, Matrix] | None = None
) -> Iterator[Forecasts]:
    """Forecasts each history (a value a day, NaN for unknown, the last one known) `horizon` days ahead, 1 to 365.

    `quantiles` are those of `fleet_quantiles`; None: they are computed from these histories. Yields chunks of at most
    `CHUNK` series, in their order. An empty history or a wrong horizon is a `ValueError`.
    """
    if not 1 <= horizon <= LONGEST_HORIZON:
        raise ValueError(f"a horizon is 1 to {LONGEST_HORIZON} days, not {horizon}")
    chunks = list(_chunks(len(histories)))
    pool = ErrorPool()
    # The past is forecast once, for the quantiles and for the back-test of each series.
    past = None if quantiles else [_forecast_past(_matrix(histories, rows), pool) for rows in chunks]
    chosen = quantiles or pool.quantiles()
    for place, rows in enumerate(chunks):
        values = _matrix(histories, rows)
        windows = _forecast_past(values) if past is None else past[place]
        yield _forecast_chunk(values, rows, horizon, chosen, windows)


def fleet_quantiles(histories: Sequence[Vector]) -> tuple[Matrix, Matrix]:
    """The 80 and 95 % quantiles of errors on the past of these histories, combined with the shipped table."""
    pool = ErrorPool()
    for rows in _chunks(len(histories)):
        _forecast_past(_matrix(histories, rows), pool)
    return pool.quantiles()


def _chunks(count: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    everything = np.arange(count)
    return (everything[at : at + CHUNK] for at in range(0, count, CHUNK))


def _matrix(histories: Sequence[Vector], rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Matrix:
    chosen = [histories[row] for row in rows.tolist()]
    width = min(max(len(history) for history in chosen), MOST_DAYS)
    values = np.full((len(chosen), width), np.nan)
    for place, whole in enumerate(chosen):
        history = whole[-width:]
        if not len(history):
            raise ValueError("a history without a day cannot be forecast")
        values[place, width - len(history) :] = history
    return values


def _read(values: Matrix) -> _SeriesState:
    held = hold(values)
    clean = remove_spikes(held)
    level = find_level(clean)
    trend = daily_trend(moves_of(level.clean), level.level) if values.shape[1] > 1 else np.zeros(len(values))
    whole = ~((held % 1 != 0) & ~np.isnan(held)).any(axis=1)
    return _SeriesState(level, trend, measure(level.clean, clean, trend), whole)


def _mean(state: _SeriesState, days: Vector) -> Matrix:
    effects = state.level.effects[:, (days.astype(int) - 1) % WEEK]
    mean = state.level.level[:, None] + state.trend[:, None] * days + effects
    return np.asarray(np.maximum(np.where(state.whole[:, None], np.rint(mean), mean), 0.0))


def _cut(values: Matrix, days: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Matrix]:
    """The rows with enough history before an origin `days` days ago, and that history."""
    before = values[:, :-days]
    enough = (~np.isnan(before)).sum(axis=1) >= _LEAST_DAYS if before.shape[1] else np.zeros(len(values), dtype=bool)
    return np.flatnonzero(enough), before


def _forecast_past(values: Matrix, pool: ErrorPool | None = None) -> list[_Window]:
    """Forecasts each series from each origin of its past; returns the windows, and adds the errors to `pool`."""
    windows = []
    day = np.array([float(BACKTEST_DAYS)])
    for cut in ORIGINS:
        rows, before = _cut(values, cut)
        if not len(rows):
            continue
        state = _read(before[rows])
        if pool is not None:
            _collect(values[rows], cut, state, pool)
        truth = values[rows, values.shape[1] - cut - 1 + BACKTEST_DAYS]
        windows.append(_Window(rows, _mean(state, day), state.spread(day), truth))
    return windows


def _collect(values: Matrix, cut: int, state: _SeriesState, pool: ErrorPool) -> None:
    reached = [place for place, day in enumerate(HORIZONS) if day <= cut]
    days = np.array([HORIZONS[place] for place in reached], dtype=float)
    errors = values[:, [values.shape[1] - cut - 1 + int(day) for day in days]] - _mean(state, days)
    errors /= state.scale.at(days)
    for column, place in enumerate(reached):
        pool.add(place, errors[:, column], state.scale.changes * days[column])


def _forecast_chunk(
    values: Matrix,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    horizon: int,
    quantiles: tuple[Matrix, Matrix],
    past: Sequence[_Window],
) -> Forecasts:
    state = _read(values)
    days = np.arange(1.0, horizon + 1)
    mean, spread = _mean(state, days), state.spread(days)
    (low80, high80), (low95, high95) = (_lines(mean, spread, one) for one in quantiles)
    return Forecasts(
        rows,
        mean,
        low80,
        high80,
        np.minimum(low95, low80),
        np.maximum(high95, high80),
        state.level.level,
        state.trend,
        (state.level.effects != 0).any(axis=1),
        _backtest(values, past, quantiles[0]),
    )


def _lines(mean: Matrix, spread: _Spread, quantiles: Matrix) -> tuple[Matrix, Matrix]:
    """The low and the high line, rounded inward to whole users, which covers the same whole counts."""
    widths = half_widths(quantiles, spread.deviations, spread.changes, spread.days)
    low, high = np.maximum(mean - widths, 0.0), mean + widths
    whole = spread.whole[:, None]
    low = np.where(whole, np.ceil(low - 1e-9), low)
    high = np.where(whole, np.floor(high + 1e-9), high)
    return np.minimum(low, mean), np.maximum(high, mean)


def _backtest(values: Matrix, past: Sequence[_Window], quantiles: Matrix) -> Backtest:
    """Measures the forecasts of each series' own past; windows with an unknown real count are left out."""
    count = np.zeros(len(values), dtype=np.int64)
    errors, inside = np.zeros(len(values)), np.zeros(len(values))
    move = _typical_move(values)
    for window in past:
        rows, mean, truth = window.rows, window.mean, window.truth
        low, high = _lines(mean, window.spread, quantiles)
        known = ~np.isnan(truth)
        count[rows] += known
        errors[rows] += np.where(known, np.abs(truth - mean[:, 0]) / move[rows], 0.0)
        inside[rows] += known & (truth >= low[:, 0]) & (truth <= high[:, 0])
    windows = np.where(count > 0, count, np.nan)
    return Backtest(count, errors / windows, inside / windows)


def _typical_move(values: Matrix) -> Vector:
    """The mean move over 30 days, at least one user."""
    if values.shape[1] <= BACKTEST_DAYS:
        return np.ones(len(values))
    moves = np.abs(values[:, BACKTEST_DAYS:] - values[:, :-BACKTEST_DAYS])
    known = np.maximum((~np.isnan(moves)).sum(axis=1), 1)
    return np.asarray(np.maximum(np.nansum(moves, axis=1) / known, 1.0))
