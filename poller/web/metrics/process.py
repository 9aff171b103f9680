"""Metrics that every serving process has: itself, what it serves, and what the fleet shares.

In base units, without a label that grows with the fleet. What the fleet shares (queue, orgs, freshness) is read from
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

# The time of creation of every counter doubles what is served, and says nothing that a restart does not.
disable_created_metrics()  # type: ignore[no-untyped-call]


class ProcessMetrics:
    """The metrics of a process that only serves; a worker adds its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        # CPU, memory, file descriptors, start: where the system provides them.
        ProcessCollector(registry=registry)
        Gauge("poller_build_info", "Always 1.", ["version"], registry=registry).labels(__version__).set(1)
        self._database_up = Gauge("poller_database_up", "Whether PostgreSQL answered just now.", registry=registry)
        self._web_requests = FastCounter("poller_web_requests", "HTTP requests answered, by status.", ["status"])
        self._gauges = _Gauges()
        self._fleet = FleetCollector()
        for collector in (self._web_requests, self._gauges, self._fleet):
            registry.register(collector)

    def add_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge of this process, read for each scrape."""
        self._gauges.add(lambda: gauge(name, help_text, read()))

    def add_gauges(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """A gauge for each value of a label."""
        self._gauges.add(lambda: gauges(name, help_text, label, read()))

    def web_replied(self, status: int) -> None:
        """A request to this process was answered."""
        self._web_requests.count(status)

    def text(self, fleet: FleetStats | None) -> bytes:
        """Everything, in Prometheus's format; `fleet` is None where the database does not answer."""
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
