"""Fast counters and histograms for events that happen thousands of times a second, for one event loop.

A labelled counter of prometheus-client takes a lock and 2.2 µs each time, an observation of its histogram 1.0 µs; these
take 0.2 µs, and become metric families of prometheus-client when they are scraped. They are not thread-safe.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client import Metric


class FastCounter(Collector):
    """A counter with a few labels, each with a few values; a value may be a `StrEnum` or a number."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._about = (name, help_text)
        self._labels = labels
        self._counts: dict[tuple[object, ...], int] = {}

    def count(self, *values: object) -> None:
        """Counts one event with these label values."""
        self._counts[values] = self._counts.get(values, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """Returns the metric families; the registry calls this for each scrape."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric([str(value) for value in values], count)
        yield family


class FastHistogram(Collector):
    """A histogram without labels; `bounds` ascend, and values beyond them are counted too."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self._about = (name, help_text)
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        """Returns the metric families; the registry calls this for each scrape."""
        yield HistogramMetricFamily(
            *self._about, buckets=list(cumulative(self._bounds, self._counts)), sum_value=self._sum
        )


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Prometheus's cumulative buckets, from one count for each bound and one for values beyond."""
    total = 0
    for bound, count in zip((*bounds, inf), counts, strict=True):
        total += count
        yield floatToGoString(bound), float(total)  # type: ignore[no-untyped-call]
