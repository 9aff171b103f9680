"""The figures at `/metrics`, in base units, without a label that grows with the fleet.

What this process does is counted as it happens; what the whole fleet shares (queue, orgs, freshness) is read from the
database when somebody asks, and is the same from every worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from poller import __version__
from poller.core.model import Outcome
from poller.store.figures import FRESHNESS_SECONDS, FleetFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from prometheus_client import Metric

    from poller.core.schedule import Due
    from poller.fleet import Polled

_LATENESS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3_600)
_DURATIONS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)


class Figures:
    """Every metric of this process; an `Observer` of its worker."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        Gauge("poller_build_info", "Always 1.", ["version"], registry=registry).labels(__version__).set(1)
        self._claimed = Counter(
            "poller_slots_claimed", "Slots this worker took from the queue, put back ones again.", registry=registry
        )
        self._put_back = Counter(
            "poller_slots_put_back", "Slots that had to wait, in the queue, by what for.", ["reason"], registry=registry
        )
        self._polls = Counter("poller_polls", "Polls whose row is safe, by outcome.", ["outcome"], registry=registry)
        self._late = Counter("poller_slots_late", "Slots polled a second late or more.", registry=registry)
        self._missed = Counter(
            "poller_slots_missed", "Slots written down as missed, by reason.", ["reason"], registry=registry
        )
        self._lateness = Histogram(
            "poller_poll_lateness_seconds",
            "From the moment a slot was due to its claim.",
            buckets=_LATENESS,
            registry=registry,
        )
        self._durations = Histogram(
            "poller_poll_duration_seconds", "One org's poll, all requests.", buckets=_DURATIONS, registry=registry
        )
        self._requests = Counter(
            "poller_requests",
            "Requests for counts, by HTTP status, or by why there was no reply.",
            ["status"],
            registry=registry,
        )
        self._token_requests = Counter(
            "poller_token_requests", "Requests to token endpoints, by HTTP status.", ["status"], registry=registry
        )
        self._credits = Counter("poller_credits_spent", "Credits of the orgs spent.", registry=registry)
        self._database_errors = Counter(
            "poller_database_errors", "Times PostgreSQL, or the way to it, failed.", registry=registry
        )
        self._database_up = Gauge("poller_database_up", "Whether PostgreSQL answered just now.", registry=registry)
        self._fleet = _Fleet()
        registry.register(self._fleet)
        for outcome in Outcome:
            self._polls.labels(outcome.value)

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge of this process, read when somebody asks."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def claimed(self, due: Due, now: datetime) -> None:
        """A slot was claimed."""
        self._claimed.inc()
        self._lateness.observe(max((now - due.at).total_seconds(), 0.0))

    def written(self, batch: Sequence[Polled]) -> None:
        """These rows are safe."""
        for one in batch:
            snapshot = one.snapshot
            if snapshot.outcome is Outcome.MISSED:
                self._missed.labels(snapshot.error or "").inc()
                continue
            self._polls.labels(snapshot.outcome.value).inc()
            self._credits.inc(snapshot.requests)
            if snapshot.late_seconds:
                self._late.inc()
            if snapshot.requests:
                self._durations.observe(snapshot.duration_ms / 1_000)

    def missed(self, slots: int, reason: str) -> None:
        """So many slots were written down as missed."""
        self._missed.labels(reason).inc(slots)

    def put_back(self, reason: str, slots: int) -> None:
        """So many slots have to wait."""
        self._put_back.labels(reason).inc(slots)

    def database_error(self) -> None:
        """PostgreSQL, or the way to it, made trouble."""
        self._database_errors.inc()

    def replied(self, status: str) -> None:
        """A request for a count ended."""
        self._requests.labels(status).inc()

    def token_replied(self, status: str) -> None:
        """A request to a token endpoint ended."""
        self._token_requests.labels(status).inc()

    def text(self, fleet: FleetFigures | None) -> bytes:
        """Everything, in Prometheus's format; `fleet` is None where the database does not answer."""
        self._database_up.set(fleet is not None)
        self._fleet.figures = fleet
        return generate_latest(self.registry)


class _Fleet(Collector):
    """What was read from the database last; nothing where it did not answer."""

    def __init__(self) -> None:
        self.figures: FleetFigures | None = None

    def collect(self) -> Iterable[Metric]:
        figures = self.figures
        if figures is None:
            return
        yield _gauge("poller_orgs", "Orgs, by state.", "state", figures.orgs)
        yield _gauge("poller_queue_jobs", "Jobs in the queue, by state.", "state", figures.jobs)
        yield _gauge(
            "poller_queue_overdue_seconds", "Age of the oldest overdue job.", None, {"": figures.overdue_seconds}
        )
        yield _gauge("poller_workers", "Workers seen in the last minute.", None, {"": figures.workers})
        yield _gauge(
            "poller_chore_last_success_timestamp_seconds", "When each chore was last done.", "chore", figures.chores
        )
        yield GaugeHistogramMetricFamily(
            "poller_org_freshness_seconds",
            "Age of the newest known count of each active org.",
            buckets=_cumulative(figures.freshness),
            gsum_value=figures.freshness_sum_seconds,
        )


def _gauge(name: str, help_text: str, label: str | None, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label] if label else [])
    for key, value in values.items():
        family.add_metric([key] if label else [], value)
    return family


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip((*map(str, FRESHNESS_SECONDS), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
