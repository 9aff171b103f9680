"""Converts quantiles of forecast errors to plain lists, to store them, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from poller.analysis.history import Matrix

Lists = tuple[list[list[float]], list[list[float]]]


def as_lists(quantiles: tuple[Matrix, Matrix]) -> Lists:
    """Both matrices as lists of rows."""
    low, high = (matrix.tolist() for matrix in quantiles)
    return low, high


def as_matrices(quantiles: Lists) -> tuple[Matrix, Matrix]:
    """Lists of rows as both matrices."""
    return np.array(quantiles[0], dtype=float), np.array(quantiles[1], dtype=float)
