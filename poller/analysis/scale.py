"""How far a series is expected to move: its variance per day over several spans, and how often it changes.

If the history of a series is short, its variance over a long span is estimated from shorter spans too, and its daily
variance from other series of the same level. A series that never moved gets its scale from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.history import Matrix, Vector

SPANS: Final = (1, 7, 30, 90)
"""Days."""
_LEAN: Final = 4.0
"""The estimate from the shorter span weighs as much as this many windows of the longer one."""
_LEAN_DAYS: Final = 45.0
"""Days of own history that weigh as much as the other series of the same level."""
_CLIP: Final = 0.97
_RECENT_DAYS: Final = 224
_PRIOR_CHANGES: Final = 0.5
_PRIOR_DAYS: Final = 60.0


class Scale(NamedTuple):
    """The expected moves of each series, one row per series.

    `variances`: users² a day, a column for each of `SPANS`. `changes`: expected changes a day.
    """

    variances: Matrix
    changes: Vector

    def at(self, horizons: Vector) -> Matrix:
        """The standard deviation in users at each of these horizons (days), one row per series."""
        spans = np.log(np.array(SPANS, dtype=float))
        place = np.clip(np.interp(np.log(horizons), spans, np.arange(len(SPANS))), 0, len(SPANS) - 1)
        low = np.minimum(place.astype(int), len(SPANS) - 2)
        share = place - low
        logs = np.log(np.maximum(self.variances, 1e-9))
        variance = np.exp(logs[:, low] * (1 - share) + logs[:, low + 1] * share)
        return np.asarray(np.sqrt(variance * horizons))


def expected_variance(level: Vector) -> Vector:
    """Users² a day of a series at this level, if the series itself has no history yet."""
    return np.asarray(0.004 * np.maximum(level, 1.0) ** 0.9)


def measure(clean: Matrix, raw: Matrix, trend: Vector) -> Scale:
    """Measures each series; `raw` are the histories with their weekday effects: changes count in whole users."""
    days = (~np.isnan(clean)).sum(axis=1).astype(float)
    prior = expected_variance(np.maximum(raw[:, -1], 0.0))
    columns = []
    for span in SPANS:
        own, windows = _variance(clean, trend, span)
        lean = _LEAN_DAYS if span == 1 else _LEAN
        prior = (windows * own + lean * prior) / (windows + lean)
        columns.append(prior)
    changed = np.diff(raw, axis=1)
    changed = ~np.isnan(changed) & (changed != 0)
    recent = changed[:, -_RECENT_DAYS:].sum(axis=1)
    seen = np.minimum(days - 1, _RECENT_DAYS)
    changes = (recent + _PRIOR_CHANGES) / (seen + _PRIOR_DAYS)
    return Scale(np.stack(columns, axis=1), changes)


def _variance(clean: Matrix, trend: Vector, span: int) -> tuple[Vector, Vector]:
    """Users² a day of the moves over `span` days, with large moves clipped, and the number of independent windows."""
    if clean.shape[1] <= span:
        return np.zeros(len(clean)), np.zeros(len(clean))
    moves = np.abs(clean[:, span:] - clean[:, :-span] - (trend * span)[:, None])
    known = ~np.isnan(moves)
    count = known.sum(axis=1)
    moves[~known] = np.inf
    at = np.clip(np.ceil(_CLIP * count).astype(int) - 1, 0, None)
    if span == 1:
        # Most daily moves are zero, so the limit for clipping is computed from the others.
        zeros = (moves == 0).sum(axis=1)
        at = np.clip(zeros + np.ceil(_CLIP * (count - zeros)).astype(int) - 1, 0, moves.shape[1] - 1)
    ordered = np.sort(moves, axis=1)
    most = np.take_along_axis(ordered, at[:, None], axis=1)
    clipped = np.where(known, np.minimum(moves, np.where(np.isinf(most), 0.0, most)), 0.0)
    return np.asarray((clipped**2).sum(axis=1) / np.maximum(count, 1) / span), np.asarray(count / span)
