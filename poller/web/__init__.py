"""What the service shows over HTTP: whether it lives, whether it is ready, its figures, and the API."""

from __future__ import annotations

from poller.web.api import Api
from poller.web.metrics import Figures
from poller.web.server import Health, serve

__all__ = ["Api", "Figures", "Health", "serve"]
