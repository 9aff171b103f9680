"""The daily trend of a series: the mean move over several windows, damped towards zero.

No line is fitted through the data: it would not start from the last value, and on real head counts it was five times
worse a week ahead than assuming no change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.history import Matrix, Vector

WINDOWS: Final = (112, 224)
"""The windows in days; the whole history is an additional window."""
_LEAST_DAYS: Final = 21
_SHRINK: Final = 2.5
"""The share of the move that is subtracted: this factor times the variance of the mean move, divided by its square."""
_ONE_WAY: Final = 0.9
"""The share of all movement that must be net movement, for a trend to count as one-way."""
_ONE_WAY_MOVES: Final = 12
_BASE_WEIGHT: Final = 0.25
"""The weight of a window without a trend; a window with a full trend weighs 1 more."""
_LEAST_VARIANCE: Final = 0.02
"""The smallest share of the moves' variance that is used, even if the moves cancel each other out."""
_CLIP: Final = 0.95


def moves_of(clean: Matrix) -> Matrix:
    """Daily moves in users, clipped to the 95 % quantile of the series' moves that are not zero."""
    moves = np.diff(clean, axis=1)
    sizes = np.abs(moves)
    sizes[sizes == 0] = np.nan
    count = (~np.isnan(sizes)).sum(axis=1)
    sizes.sort(axis=1)
    at = np.clip(np.ceil(_CLIP * count).astype(int) - 1, 0, None)
    most = np.nan_to_num(np.take_along_axis(sizes, at[:, None], axis=1))
    return np.clip(moves, -most, most)


def daily_trend(moves: Matrix) -> Vector:
    """The trend in users a day; exactly zero if no window shows a significant move."""
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
        # Moves that cancel each other out, like noise, make the mean more certain than independent moves would.
        beside = np.minimum(pairs[:, at] / days - mean * mean, 0.0)
        variance = np.maximum(daily + 2 * beside, _LEAST_VARIANCE * daily) / np.maximum(days - 1, 1)
        # If nearly all moves go one way, the direction is certain and only the pace is not: nothing is subtracted.
        one_way = (np.abs(sums[:, at]) >= _ONE_WAY * sizes[:, at]) & (changes[:, at] >= _ONE_WAY_MOVES)
        shrink = np.where(one_way, 0.0, _SHRINK)
        kept = np.maximum(0.0, 1.0 - shrink * variance / np.where(mean == 0, np.inf, mean * mean))
        weight = np.where(enough, _BASE_WEIGHT + kept, 0.0)
        total += mean * kept * weight
        weights += weight
    return np.asarray(total / weights)
