"""Sparklines: small SVG paths made on the server, so that they need no script, follow the theme, and print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SPAN: Final = 0.10
"""The height of a sparkline is at least this share of the level, so that noise looks like noise."""


def sparkline(values: Sequence[float | None], step: int = 4, height: int = 20) -> str:
    """The `d` of a path with one point each `step` units; None is a gap, and a reading between two gaps a dot.

    A dot is a line of no length, which a round line cap makes visible. An empty string where nothing is known.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = scale(known)
    unit = (height - 2) / (high - low)
    path: list[str] = []
    last: int | None = None
    alone = False
    for place, value in enumerate(values):
        if value is None:
            path.append("h0" if alone else "")
            last, alone = None, False
            continue
        y = height - 1 - round((value - low) * unit)
        alone = last is None
        # Relative steps are short, and alike from row to row, which compresses well.
        path.append(f"M{place * step} {y}l" if last is None else f"{step} {y - last} ")
        last = y
    text = "".join(path) + ("h0" if alone else "")
    return text.replace("lh0", "h0").replace(" M", "M").replace(" -", "-").removesuffix(" ")


def scale(known: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value that a chart of these values shows: at least a tenth of the level apart."""
    low, high = min(known), max(known)
    least = max(LEAST_SPAN * max(abs(low), abs(high)), 1.0)
    if high - low >= least:
        return low, high
    middle = (low + high) / 2
    return middle - least / 2, middle + least / 2
