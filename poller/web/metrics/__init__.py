"""Metrics in Prometheus's format: `/metrics` of this process and the fleet, `/metrics/orgs` by org."""

from __future__ import annotations

from poller.web.metrics.process import ProcessMetrics
from poller.web.metrics.worker import WorkerMetrics

__all__ = ["ProcessMetrics", "WorkerMetrics"]
