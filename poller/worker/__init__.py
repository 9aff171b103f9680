"""The service: adds due slots to the queue, polls them, and writes one row for each, even if the poll fails."""

from __future__ import annotations

from poller.worker.config import WorkerConfig
from poller.worker.worker import Worker

__all__ = ["Worker", "WorkerConfig"]
