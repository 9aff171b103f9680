"""Metrics about the whole fleet, read from the database, so that every worker serves the same values.

If the database did not answer, these metrics are left out, because old values would be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from poller.core.fleet import FRESHNESS_SECONDS
from poller.web.metrics.counters import cumulative

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from prometheus_client import Metric

    from poller.core.fleet import FleetStats, MessageBacklog


class FleetCollector(Collector):
    """`figures` is set before each scrape; None: the database did not answer."""

    def __init__(self) -> None:
        self.figures: FleetStats | None = None

    def collect(self) -> Iterable[Metric]:
        """Returns the metric families; the registry calls this for each scrape."""
        figures = self.figures
        if figures is None:
            return
        yield gauges("poller_orgs", "Orgs, by state.", "state", figures.orgs)
        yield gauges("poller_queue_jobs", "Jobs in the queue, by state.", "state", figures.jobs)
        yield gauge("poller_queue_overdue_seconds", "Age of the oldest overdue job.", figures.overdue_seconds)
        yield gauge(
            "poller_orgs_unscheduled",
            "Active orgs for which no slot was handed out for two intervals, or none is due in the next two.",
            figures.unscheduled,
        )
        yield gauge("poller_workers", "Workers seen in the last minute.", figures.workers)
        yield gauges(
            "poller_chore_last_success_timestamp_seconds",
            "When each maintenance task last succeeded.",
            "chore",
            figures.task_successes,
        )
        yield gauges("poller_alerts_firing", "Alerts that fire, by severity.", "severity", figures.alerts)
        if figures.evaluated_seconds is not None:
            yield gauge(
                "poller_alerts_evaluated_seconds",
                "Time since the alert rules were last evaluated.",
                figures.evaluated_seconds,
            )
        yield from _messages(figures.messages)
        yield GaugeHistogramMetricFamily(
            "poller_org_freshness_seconds",
            "Age of the newest known counts of each org that is not paused.",
            buckets=list(cumulative(FRESHNESS_SECONDS, figures.freshness)),
            gsum_value=figures.freshness_sum_seconds,
        )


def _messages(backlog: MessageBacklog) -> Iterable[Metric]:
    """The metrics of the outbox."""
    yield gauge("poller_messages_waiting", "Messages about alerts that wait for delivery.", backlog.waiting)
    yield gauge(
        "poller_messages_oldest_seconds", "How long the oldest such message has waited.", backlog.oldest_seconds
    )
    yield gauge(
        "poller_messages_given_up",
        "Messages about alerts that are not tried again, in a week, until a later one arrives.",
        backlog.given_up,
    )


async def org_age_lines(ages: Mapping[str, float]) -> AsyncIterator[str]:
    """The ages by org in Prometheus's format, one line at a time, because there may be thousands."""
    yield f"# HELP poller_org_age_seconds {_AGE_HELP}"
    yield "# TYPE poller_org_age_seconds gauge"
    for name, age in ages.items():
        label = name.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        yield f'poller_org_age_seconds{{org="{label}"}} {floatToGoString(age)}'  # type: ignore[no-untyped-call]


_AGE_HELP: Final = "Age of the newest known counts of an org that is not paused, +Inf where none were ever known."


def gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge for each value of a label."""
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def gauge(name: str, help_text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, help_text, value=value)
