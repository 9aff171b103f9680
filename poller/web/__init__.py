"""The web server of a process: pages, API, metrics, and probes of whether the process is alive and working."""

from __future__ import annotations

from poller.web.access import Access, access_from
from poller.web.api import Api
from poller.web.connections import ConnectionLimits
from poller.web.metrics import ProcessMetrics, WorkerMetrics
from poller.web.server import Health, serve, web_app

__all__ = [
    "Access",
    "Api",
    "ConnectionLimits",
    "Health",
    "ProcessMetrics",
    "WorkerMetrics",
    "access_from",
    "serve",
    "web_app",
]
