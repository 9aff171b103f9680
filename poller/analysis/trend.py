"""The daily trend of a series: its mean move over several memories, damped towards zero.

A mean is damped twice: by its own uncertainty, and towards the growth that is usual for real head counts of that level.
A memory forgets old moves little by little, so the trend never jumps because a move gets too old.

No line is fitted through the data: it would not start from the last value, and on real head counts it was five times
worse a week ahead than assuming no change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.history import Matrix, Vector

    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

_HALF_LIVES: Final = (56.0, 112.0, np.inf)
"""The memories: days after which a move counts half; in the last one all moves of the history count the same."""
_LEAST_HALF_LIVES: Final = 1.35
"""The shortest history for which a memory is used, in its half-lives."""
_LEAST_DAYS: Final = 21
_SHRINK: Final = 1.5
"""The share of the mean move that is subtracted: this factor times its variance, divided by its square."""
_USUAL_GROWTH: Final = 0.0007
"""The usual size of a trend, as a share of the level a day: what is much less certain than that counts little."""
_ONE_WAY: Final = 0.9
"""The share of all movement that must be net movement, for a trend to count as one-way."""
_ONE_WAY_MOVES: Final = 12
_BASE_WEIGHT: Final = 0.25
"""The weight of a memory without a trend; a memory with a full trend weighs 1 more."""
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


def daily_trend(moves: Matrix, level: Vector) -> Vector:
    """The trend in users a day; exactly zero if no memory shows a significant move. `level`: users at the end."""
    history = (~np.isnan(moves)).sum(axis=1)
    usual = (_USUAL_GROWTH * np.maximum(level, 1.0)) ** 2
    age = np.arange(moves.shape[1])[::-1]
    total, weights = np.zeros(len(moves)), np.full(len(moves), 1e-9)
    for half_life in _HALF_LIVES:
        mean, variance, one_way = _remember(moves, 0.5 ** (age / half_life))
        kept = np.maximum(0.0, 1.0 - _SHRINK * variance / np.where(mean == 0, np.inf, mean * mean))
        kept *= usual / (usual + variance)
        # If nearly all moves go one way, the direction is certain and only the pace is not: nothing is subtracted.
        kept = np.where(one_way, 1.0, kept)
        least = _LEAST_DAYS if np.isinf(half_life) else _LEAST_HALF_LIVES * half_life
        weight = np.where(history >= least, _BASE_WEIGHT + kept, 0.0)
        total += mean * kept * weight
        weights += weight
    return np.asarray(total / weights)


def _remember(moves: Matrix, weights: Vector) -> tuple[Vector, Vector, Flags]:
    """The mean move with these weights of the days, its variance, and whether nearly all moves go one way."""
    known = ~np.isnan(moves)
    filled = np.where(known, moves, 0.0)
    squared = weights * weights
    days, days_squared = np.maximum(known @ weights, 1e-9), known @ squared
    mean = filled @ weights / days
    expected = mean * mean * days_squared
    spread = np.maximum((filled * filled) @ squared - expected, 0.0)
    # Moves that cancel each other out, like noise, make the mean more certain than independent moves would.
    beside = np.minimum((filled[:, 1:] * filled[:, :-1]) @ squared[1:] - expected, 0.0)
    spread = np.maximum(spread + 2 * beside, _LEAST_VARIANCE * spread)
    # Without weights this divides by n times n - 1.
    variance = spread / np.maximum(days * days - days_squared, 1e-9)
    changes = filled != 0
    count = (changes @ weights) ** 2 / np.maximum(changes @ squared, 1e-9)
    net = np.abs(mean) * days
    one_way = (net >= _ONE_WAY * (np.abs(filled) @ weights)) & (count >= _ONE_WAY_MOVES - 1e-6)
    return np.asarray(mean), np.asarray(variance), np.asarray(one_way)
