"""Sparklines: small SVG paths made on the server, so that they need no script, follow the theme, and print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.chart_scale import scale

if TYPE_CHECKING:
    from collections.abc import Sequence


def sparkline(
    values: Sequence[float | None], step: int = 4, height: int = 20, bounds: tuple[float, float] | None = None
) -> str:
    """The `d` of a path with one point each `step` units; None is a gap, and a reading between two gaps a dot.

    A dot is a line of no length, which a round line cap makes visible. An empty string where nothing is known.
    `bounds`: the lowest and highest value that it shows, where several lines share a scale.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = bounds or scale(known)
    unit, bottom = (height - 2) / (high - low), height - 1
    path: list[str] = []
    before, last = None, None
    flat, drawn = 0, True
    for place, value in enumerate(values):
        if value is None:
            if flat or not drawn:
                path.append(f"h{flat}")
            before, last, flat, drawn = None, None, 0, True
            continue
        if value == last:
            flat += step
            continue
        last, level = value, bottom - round((value - low) * unit)
        if before is None:
            path.append(f"M{place * step} {level}")
            drawn = False
        elif level == before:
            flat += step
        else:
            if flat:
                path.append(f"h{flat}")
            path.append(f"l{step} {level - before}" if level > before else f"l{step}{level - before}")
            flat, drawn = 0, True
        before = level
    if flat or not drawn:
        path.append(f"h{flat}")
    return "".join(path)
