"""The service: slots handed out, polled when they are due, and one row for each, whatever breaks meanwhile."""

from __future__ import annotations

from poller.worker.observer import Observer, Silent
from poller.worker.pace import Pace
from poller.worker.service import Worker

__all__ = ["Observer", "Pace", "Silent", "Worker"]
