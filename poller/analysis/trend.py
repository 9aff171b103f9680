"""The daily move of a series that its own past supports: a mean over several windows, shrunk towards none.

A line fitted through the data is refused: it does not start from the last value, and was five times worse than no
forecast at all on real head counts a week ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.history import Matrix, Vector

WINDOWS: Final = (112, 224)
"""Days; the whole history is one window more."""
_LEAST_DAYS: Final = 21
_SHRINK: Final = 2.5
"""Times the variance of the mean move over its square: that share of the move is taken away."""
_ONE_WAY: Final = 0.9
"""Of all movement, the share that must be net movement for a trend to count as one-way."""
_ONE_WAY_MOVES: Final = 12
_BASE_WEIGHT: Final = 0.25
"""A window that shows no trend still counts this much against one that shows it fully."""
_LEAST_VARIANCE: Final = 0.02
"""Of the moves' variance stays at least this share, however much they take each other back."""
_CLIP: Final = 0.95


def moves_of(clean: Matrix) -> Matrix:
    """Daily moves in users, each clipped to the series' own 95 % quantile of moves that are not zero."""
    moves = np.diff(clean, axis=1)
    sizes = np.abs(moves)
    sizes[sizes == 0] = np.nan
    count = (~np.isnan(sizes)).sum(axis=1)
    sizes.sort(axis=1)
    at = np.clip(np.ceil(_CLIP * count).astype(int) - 1, 0, None)
    most = np.nan_to_num(np.take_along_axis(sizes, at[:, None], axis=1))
    return np.clip(moves, -most, most)


def daily_trend(moves: Matrix) -> Vector:
    """Users a day, exactly zero where no window shows a significant move."""
    known = ~np.isnan(moves)
    filled = np.where(known, moves, 0.0)[:, ::-1]
    sums, squares = np.cumsum(filled, axis=1), np.cumsum(filled * filled, axis=1)
    pairs = np.cumsum(filled * np.pad(filled[:, 1:], ((0, 0), (0, 1))), axis=1)
    sizes, changes = np.cumsum(np.abs(filled), axis=1), np.cumsum(filled != 0, axis=1)
    counts = np.cumsum(known[:, ::-1], axis=1)
    total, weights = np.zeros(len(moves)), np.full(len(moves), 1e-9)
    for window in (*WINDOWS, moves.shape[1]):
        at = min(window, moves.shape[1]) - 1
        days = np.maximum(counts[:, at], 1)
        enough = counts[:, at] >= _LEAST_DAYS
        if window in WINDOWS:
            enough &= counts[:, -1] >= 0.9 * window
        mean = sums[:, at] / days
        daily = np.maximum(squares[:, at] / days - mean * mean, 0.0)
        # Moves that take each other back, as noise does, make the mean surer than independent moves would.
        beside = np.minimum(pairs[:, at] / days - mean * mean, 0.0)
        variance = np.maximum(daily + 2 * beside, _LEAST_VARIANCE * daily) / np.maximum(days - 1, 1)
        # Moves that nearly all go one way leave doubt about the pace, not about the direction: nothing is taken away.
        one_way = (np.abs(sums[:, at]) >= _ONE_WAY * sizes[:, at]) & (changes[:, at] >= _ONE_WAY_MOVES)
        shrink = np.where(one_way, 0.0, _SHRINK)
        kept = np.maximum(0.0, 1.0 - shrink * variance / np.where(mean == 0, np.inf, mean * mean))
        weight = np.where(enough, _BASE_WEIGHT + kept, 0.0)
        total += mean * kept * weight
        weights += weight
    return np.asarray(total / weights)
