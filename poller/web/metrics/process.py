"""Metrics of every process with a web server: the process, its requests, and the fleet.

In base units, and without labels that grow with the fleet. Metrics of the fleet (queue, orgs, freshness) are read from
the database for each scrape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.registry import Collector

from poller import __version__
from poller.web.metrics.counters import FastCounter
from poller.web.metrics.fleet import FleetCollector, gauge, gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

    from poller.core.fleet import FleetStats

# The creation time of every counter would double the size of a scrape, and is only the time of the last restart.
disable_created_metrics()  # type: ignore[no-untyped-call]


class ProcessMetrics:
    """The metrics of a process without a worker; a worker adds its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        # CPU, memory, file descriptors, start time, if the system provides them.
        ProcessCollector(registry=registry)
        Gauge("poller_build_info", "Always 1.", ["version"], registry=registry).labels(__version__).set(1)
        self._database_up = Gauge("poller_database_up", "Whether PostgreSQL answered just now.", registry=registry)
        self._web_requests = FastCounter("poller_web_requests", "HTTP requests answered, by status.", ["status"])
        self._gauges = _Gauges()
        self._fleet = FleetCollector()
        for collector in (self._web_requests, self._gauges, self._fleet):
            registry.register(collector)

    def add_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge of this process, which is read for each scrape."""
        self._gauges.add(lambda: gauge(name, help_text, read()))

    def add_gauges(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Adds a gauge for each value of a label."""
        self._gauges.add(lambda: gauges(name, help_text, label, read()))

    def web_replied(self, status: int) -> None:
        """A request to this process was answered."""
        self._web_requests.count(status)

    def text(self, fleet: FleetStats | None) -> bytes:
        """All metrics in Prometheus's format; `fleet` is None if the database does not answer."""
        self._database_up.set(fleet is not None)
        self._fleet.figures = fleet
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self) -> None:
        self._read: list[Callable[[], Metric]] = []

    def add(self, read: Callable[[], Metric]) -> None:
        self._read.append(read)

    def collect(self) -> Iterable[Metric]:
        for read in self._read:
            yield read()
