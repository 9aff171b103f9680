"""What a process shows over HTTP: pages, whether it lives and works, its metrics, and the API."""

from __future__ import annotations

from poller.web.access import Access, access_from
from poller.web.api import Api
from poller.web.connections import ConnectionLimits
from poller.web.metrics import ProcessMetrics, WorkerMetrics
from poller.web.server import Health, serve

__all__ = ["Access", "Api", "ConnectionLimits", "Health", "ProcessMetrics", "WorkerMetrics", "access_from", "serve"]
