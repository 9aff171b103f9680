"""The HTTP API under `/api/v1`: the facts of the commands, as JSON, for programs that show a key."""

from __future__ import annotations

from poller.web.api.trend import Api

__all__ = ["Api"]
