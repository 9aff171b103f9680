"""The service: slots handed out, polled when they are due, and one row for each, whatever breaks meanwhile."""

from __future__ import annotations

from poller.worker.config import WorkerConfig
from poller.worker.observer import Observer, Silent
from poller.worker.worker import Worker

__all__ = ["Observer", "Silent", "Worker", "WorkerConfig"]
