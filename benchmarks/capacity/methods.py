"""Ways to forecast, each from histories to five lines a series: ours, and statsforecast's where it is installed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.capacity.cuts import FUTURE
from poller.analysis.forecast import forecast
from poller.analysis.history import hold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Lines = NDArray[np.float64]
    Method = Callable[[Sequence[Vector]], Lines]

LINES: Final = ("mean", "lo-80", "hi-80", "lo-95", "hi-95")
INSTALL: Final = "uv pip install --group bench-forecast (or pip install --group bench-forecast)"


def ours(histories: Sequence[Vector]) -> Lines:
    """One row a series, one a day, one a line."""
    lines = np.empty((len(histories), FUTURE, len(LINES)))
    for one in forecast(histories, FUTURE):
        lines[one.rows] = np.stack([one.mean, one.low80, one.high80, one.low95, one.high95], axis=2)
    return lines


def methods() -> dict[str, Method]:
    """Every method that can run here, by name, ours first."""
    found: dict[str, Method] = {"**ours**": ours}
    try:
        from statsforecast import models  # noqa: PLC0415 - heavy, and seldom installed
    except ImportError:
        return found
    makers: dict[str, Callable[[], Any]] = {
        "AutoETS, season 7": lambda: models.AutoETS(season_length=7),
        "AutoTheta, season 7": lambda: models.AutoTheta(season_length=7),
        "seasonal naive": lambda: models.SeasonalNaive(season_length=7),
    }
    return found | {name: _by_library(make) for name, make in makers.items()}


def _by_library(make: Callable[[], Any]) -> Method:
    def lines_of(histories: Sequence[Vector]) -> Lines:
        lines = np.empty((len(histories), FUTURE, len(LINES)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for place, history in enumerate(histories):
                lines[place] = _one(make(), hold(history[None, :])[0])
        return lines

    return lines_of


def _one(model: Any, history: Vector) -> Lines:
    """What a library cannot forecast is "no change", as its users would do."""
    last = np.full((FUTURE, len(LINES)), history[-1])
    try:
        made = model.forecast(y=history, h=FUTURE, level=[80, 95])
        lines = np.stack([made[line] for line in LINES], axis=1)
    except Exception:  # noqa: BLE001 - whatever a library raises
        return last
    return lines if np.isfinite(lines).all() else last
