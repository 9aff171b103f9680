"""Prepares daily histories for forecasting: fills gaps, removes single-day spikes, finds weekday effects.

A matrix of histories has one series per row and one day per column; every row ends on its last known day, in the last
column. Days before a series began are NaN.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

WEEK: Final = 7
MOST_DAYS: Final = 800
"""The days of a history that are used; older days change nothing."""
_SPIKE_LEAST: Final = 3.0
"""The smallest jump that counts as a spike, in users."""
_SPIKE_RATIO: Final = 6.0
"""A spike is at least this many times the mean daily move."""
_SPIKE_SPANS: Final = (1, 3)
"""Days on either side that a day is compared with: the first catches spikes near the end, the second pairs."""
_SPIKE_RETURN: Final = 0.25
"""A spike returns to within this share of its size."""
_SEASON_DAYS: Final = 84
_SEASON_GAIN: Final = 0.85
"""Weekday effects are used if they reduce past one-day errors to at most this share."""
_SMOOTH_GAIN: Final = 0.9
_SMOOTH_DAYS: Final = 120
_ALPHAS: Final = (0.1, 0.2, 0.35, 0.5, 0.7)


class Level(NamedTuple):
    """The level of each series at its end.

    `level`: users, without the weekday's effect. `effects`: users to add on the days 1 to 7 ahead, one row per series;
    zero without weekday effects. `clean`: the histories without spikes and weekday effects.
    """

    level: Vector
    effects: Matrix
    clean: Matrix


def hold(values: Matrix) -> Matrix:
    """Fills unknown days with the last known value; days before the first known one stay NaN."""
    at = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    np.maximum.accumulate(at, axis=1, out=at)
    return np.take_along_axis(values, at, axis=1)


def remove_spikes(held: Matrix) -> Matrix:
    """Replaces single days, and pairs of days, that jump and return, by the value before them.

    A spike on the last day stays, because it may be a step.
    """
    clean = held
    for span in _SPIKE_SPANS:
        if held.shape[1] > 2 * span:
            clean = _without_spikes(clean, span)
    return clean


def _without_spikes(held: Matrix, span: int) -> Matrix:
    """Compares each day with the medians of the `span` days before and after."""
    columns = held.shape[1]
    medians = held if span == 1 else np.median([held[:, at : columns - span + 1 + at] for at in range(span)], axis=0)
    before, after = medians[:, : -span - 1], medians[:, span + 1 :]
    days = held[:, span : columns - span]
    up, back = days - before, days - after
    jump = np.minimum(np.abs(up), np.abs(back))
    moves = np.abs(np.diff(held, axis=1))
    known = np.maximum((~np.isnan(moves)).sum(axis=1, keepdims=True), 1)
    typical = np.nansum(moves, axis=1, keepdims=True) / known
    spike = (up * back > 0) & (np.abs(after - before) <= _SPIKE_RETURN * jump)
    spike &= jump > np.maximum(_SPIKE_LEAST, _SPIKE_RATIO * typical)
    clean = held.copy()
    clean[:, span : columns - span][spike] = before[spike]
    return clean


def find_level(clean: Matrix) -> Level:
    """The level at the end of each series: its last value, or a smoothed one if that forecasts better."""
    by_column = _weekday_effects(clean)
    columns = clean.shape[1]
    place = (columns - 1 - np.arange(columns)) % WEEK
    without = clean - by_column[:, place]
    ahead = by_column[:, (-np.arange(1, WEEK + 1)) % WEEK]
    return Level(_smooth(without), ahead, without)


def _weekday_effects(clean: Matrix) -> Matrix:
    """Users to add by place in the week; 0 is the weekday of the last column. Zero if the effects do not help."""
    rows, columns = clean.shape
    effects = np.zeros((rows, WEEK))
    if columns < 6 * WEEK:
        return effects
    half = min(_SEASON_DAYS, (columns // (2 * WEEK)) * WEEK)
    recent, older = clean[:, -half:], clean[:, -2 * half : -half]
    known = ~np.isnan(older[:, 0]) & (np.ptp(recent, axis=1) > 0)
    if not known.any():
        return effects
    learned = _mean_by_place(older[known])
    place = (half - 1 - np.arange(half)) % WEEK
    tested = recent[known] - learned[:, place]
    raw = np.abs(np.diff(recent[known], axis=1)).mean(axis=1)
    pays = np.abs(np.diff(tested, axis=1)).mean(axis=1) < _SEASON_GAIN * raw
    chosen = np.flatnonzero(known)[pays]
    if len(chosen):
        effects[chosen] = _mean_by_place(clean[chosen, -2 * half :])
    return effects


def _mean_by_place(values: Matrix) -> Matrix:
    """The mean distance from the centred seven-day mean by place in the week, centred on zero."""
    days = values.shape[1]
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    centred = (sums[:, WEEK:] - sums[:, :-WEEK]) / WEEK
    away = values[:, 3 : days - 3] - centred
    place = (days - 1 - np.arange(3, days - 3)) % WEEK
    means = np.stack([np.median(away[:, place == one], axis=1) for one in range(WEEK)], axis=1)
    return np.asarray(means - means.mean(axis=1, keepdims=True))


def _smooth(values: Matrix) -> Vector:
    """The last value, or an exponential mean where past one-day errors prove that it forecasts better."""
    last = values[:, -1].copy()
    recent = values[:, -_SMOOTH_DAYS:]
    noisy = ~np.isnan(recent[:, 0]) & (np.count_nonzero(np.diff(recent, axis=1), axis=1) > recent.shape[1] // 3)
    if recent.shape[1] < 4 * WEEK or not noisy.any():
        return last
    tried = recent[noisy]
    best = _SMOOTH_GAIN * np.abs(np.diff(tried[:, WEEK:], axis=1)).mean(axis=1)
    chosen = last[noisy]
    for alpha in _ALPHAS:
        level = tried[:, :WEEK].mean(axis=1)
        errors = np.zeros(len(tried))
        for day in range(WEEK, tried.shape[1]):
            error = tried[:, day] - level
            errors += np.abs(error) if day > WEEK else 0.0
            level = level + alpha * error
        errors /= tried.shape[1] - WEEK - 1
        better = errors < best
        best, chosen = np.where(better, errors, best), np.where(better, level, chosen)
    last[noisy] = chosen
    return last
