"""Converts quantiles of forecast errors to plain lists, to store them, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from poller.analysis.error_table import QUANTILES_80

if TYPE_CHECKING:
    from poller.analysis.history import Matrix

Lists = tuple[list[list[float]], list[list[float]]]
_SHAPE: Final = np.shape(QUANTILES_80)


def as_lists(quantiles: tuple[Matrix, Matrix]) -> Lists:
    """Both matrices as lists of rows."""
    low, high = (matrix.tolist() for matrix in quantiles)
    return low, high


def as_matrices(quantiles: Lists) -> tuple[Matrix, Matrix] | None:
    """Lists of rows as both matrices; None if they are none, such as those of another version or of an edited table."""
    try:
        matrices = np.array(quantiles[0], dtype=float), np.array(quantiles[1], dtype=float)
    except ValueError:
        return None
    return matrices if all(one.shape == _SHAPE and np.isfinite(one).all() for one in matrices) else None
