"""What the service shows over HTTP: whether it lives, whether it is ready, and its figures."""

from __future__ import annotations

from poller.web.metrics import Figures
from poller.web.server import Health, serve

__all__ = ["Figures", "Health", "serve"]
