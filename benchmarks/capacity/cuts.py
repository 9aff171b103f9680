"""Series cut in two, what was known and what came next: made by seeds, or read from files."""

from __future__ import annotations

import csv
import gzip
import math
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

HISTORY: Final = 400
FUTURE: Final = 365
MADE: Final = 40
"""Series of each kind."""
_MONTH: Final = 30
_SEATS: Final = (1.0, 3.0, 6.0)
"""Seats above the last count, in months of usual moves."""


class Cut(NamedTuple):
    """A series: its history (NaN for unknown days), its future, the unit of its errors, and seats it may run out of."""

    group: str
    history: Vector
    future: Vector
    scale: float
    seats: tuple[float, ...]


def made_cuts(each: int, seed: int = 3) -> list[Cut]:
    """Makes `each` series of each kind."""
    rng = np.random.default_rng(seed)
    return [_cut(group, make(rng, HISTORY + FUTURE)) for group, make in _KINDS.items() for _ in range(each)]


def read_cuts(series: Path, truth: Path) -> list[Cut]:
    """Series of `series,day,value`, and a JSON object a line for what came next: `id, group, scale, seats, future`."""
    days: dict[str, dict[int, float]] = {}
    with _opened(series) as lines:
        for row in csv.DictReader(lines):
            value = float(row["value"]) if row["value"] else math.nan
            days.setdefault(row["series"], {})[date.fromisoformat(row["day"]).toordinal()] = value
    with _opened(truth) as lines:
        return [_read(one, days[one["id"]]) for one in map(orjson.loads, lines)]


def _read(truth: dict[str, Any], days: dict[int, float]) -> Cut:
    first = min(days)
    history = np.full(max(days) - first + 1, math.nan)
    for day, value in days.items():
        history[day - first] = value
    future = np.array([math.nan if value is None else value for value in truth["future"]], dtype=float)
    return Cut(truth["group"], history, future, float(truth["scale"]), tuple(truth["seats"]))


def _opened(path: Path) -> Any:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def _cut(group: str, values: Vector) -> Cut:
    history, future = values[:HISTORY], values[HISTORY:]
    scale = max(float(np.abs(history[_MONTH:] - history[:-_MONTH]).mean()), 1.0)
    return Cut(group, history, future, scale, tuple(float(math.ceil(history[-1] + more * scale)) for more in _SEATS))


def _level(rng: np.random.Generator) -> float:
    return float(np.rint(np.exp(rng.uniform(np.log(5), np.log(1_000)))))


def _walk(level: float, moves: Vector) -> Vector:
    walk = level + np.cumsum(moves)
    return np.asarray(walk - min(float(walk.min()), 0.0))


def _flat(rng: np.random.Generator, days: int) -> Vector:
    return _walk(_level(rng), (rng.random(days) < 1 / 250) * rng.choice([-1.0, 1.0], days))


def _steps(rng: np.random.Generator, days: int) -> Vector:
    level = _level(rng)
    sizes = np.ceil(rng.exponential(max(0.03 * level, 0.5), days)) * rng.choice([-1.0, 1.0, 1.0], days)
    return _walk(level, (rng.random(days) < rng.uniform(0.01, 0.04)) * sizes)


def _moving(rng: np.random.Generator, days: int) -> Vector:
    ups = rng.uniform(0.35, 0.65)
    signs = np.where(rng.random(days) < ups, 1.0, -1.0)
    sizes = rng.geometric(rng.uniform(0.3, 0.9), days).astype(float) * signs
    return _walk(_level(rng), (rng.random(days) < rng.uniform(0.15, 0.6)) * sizes)


def _growing(rng: np.random.Generator, days: int) -> Vector:
    return _walk(_level(rng), rng.poisson(np.exp(rng.uniform(np.log(0.1), np.log(3))), days).astype(float))


def _weekday(rng: np.random.Generator, days: int) -> Vector:
    level = _level(rng) + 100
    swing = np.tile(rng.normal(0, 0.05 * level, 7), days // 7 + 1)[:days]
    trend = rng.uniform(-0.0003, 0.001) * level * np.arange(days)
    return np.asarray(np.maximum(np.rint(level + trend + swing + rng.normal(0, 0.01 * level, days)), 0.0))


def _outliers(rng: np.random.Generator, days: int) -> Vector:
    values = _moving(rng, days)
    spikes = np.flatnonzero(rng.random(HISTORY - 5) < 0.02)  # the future is what truly was
    values[spikes] = np.rint(values[spikes] * rng.choice([0.0, 0.5, 2.0], len(spikes)))
    return values


_KINDS: Final[dict[str, Callable[[np.random.Generator, int], Vector]]] = {
    "flat": _flat,
    "steps": _steps,
    "moving": _moving,
    "growing": _growing,
    "weekday": _weekday,
    "outliers": _outliers,
}


def groups(cuts: list[Cut]) -> Iterator[tuple[str, list[int]]]:
    """Every series, then each group: its name and the places of its series."""
    yield "all", list(range(len(cuts)))
    for group in dict.fromkeys(cut.group for cut in cuts):
        yield group, [place for place, cut in enumerate(cuts) if cut.group == group]
