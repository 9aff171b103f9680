"""Computes the width of a forecast's interval from the errors of past forecasts, not from a formula.

Each past error is divided by the standard deviation expected of its series. Errors are pooled by horizon and by the
number of changes expected within the horizon, because series that change rarely and series that change daily have
different errors. The larger the fleet, the more its own errors count against the shipped table; for a single org the
table decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from poller.analysis.error_table import HORIZONS, QUANTILES_80, QUANTILES_95

if TYPE_CHECKING:
    from poller.analysis.history import Matrix, Vector

CHANGE_EDGES: Final = np.array([0.1, 0.3, 0.6, 1, 2, 4, 8, 16, 32, 64, 128])
"""The limits between the pools: changes expected within the horizon."""
PROBABILITIES: Final = (0.81, 0.96)
"""A little above 80 and 95 %: intervals of whole users cannot cover an exact share, and must cover at least this."""
TABLE_WEIGHT: Final = 150
"""The shipped table counts like the errors of this many series."""
_HORIZONS: Final = np.array(HORIZONS, dtype=float)
_TABLES: Final = (np.array(QUANTILES_80), np.array(QUANTILES_95))


@dataclass(slots=True)
class ErrorPool:
    """Past errors of a fleet, divided by their expected standard deviation, by horizon and expected changes."""

    _errors: dict[tuple[int, int], list[Vector]] = field(default_factory=dict)
    _series: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, horizon_at: int, errors: Vector, expected_changes: Vector) -> None:
        """Adds one error of each series at `HORIZONS[horizon_at]`; unknown ones are NaN."""
        pools = pool_of(expected_changes)
        for pool in np.unique(pools):
            chosen = np.abs(errors[(pools == pool) & ~np.isnan(errors)])
            if len(chosen):
                key = (horizon_at, int(pool))
                self._errors.setdefault(key, []).append(chosen)
                self._series[key] = max(self._series.get(key, 0), 0) + len(chosen)

    def quantiles(self) -> tuple[Matrix, Matrix]:
        """The 80 and 95 % quantiles, in standard deviations: one row per horizon, one column per pool."""
        results = []
        for probability, table in zip(PROBABILITIES, _TABLES, strict=True):
            own = table.copy()
            for key, parts in self._errors.items():
                # Windows of one series overlap: four of these count like one series.
                weight = self._series[key] / 4
                found = float(np.quantile(np.concatenate(parts), probability, method="higher"))
                own[key] = (weight * found + TABLE_WEIGHT * table[key]) / (weight + TABLE_WEIGHT)
            results.append(own)
        return results[0], results[1]


def pool_of(expected_changes: Vector) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The pool of each number of expected changes."""
    return np.searchsorted(CHANGE_EDGES, expected_changes)


def half_widths(quantiles: Matrix, deviations: Matrix, changes: Vector, days: Vector) -> Matrix:
    """Users to either side of the mean for each of `days` ahead; never narrower on a later day.

    `deviations` has one row per series and one column per day; `changes` is the expected number per day.
    """
    pools = pool_of(changes[:, None] * _HORIZONS)
    chosen = quantiles[np.arange(len(_HORIZONS)), pools]
    place = np.interp(np.log(days), np.log(_HORIZONS), np.arange(len(_HORIZONS)))
    low = np.minimum(place.astype(int), len(_HORIZONS) - 2)
    share = place - low
    widths = (chosen[:, low] * (1 - share) + chosen[:, low + 1] * share) * deviations
    return np.asarray(np.maximum.accumulate(widths, axis=1))
