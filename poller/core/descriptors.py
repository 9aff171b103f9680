"""Computes the file descriptors that the requests in flight need, and the requests in flight that a limit allows."""

from __future__ import annotations

from typing import Final

from poller.core.shares import connections_needed

BESIDE_POLLS: Final = 64
"""For database connections (ten, and ten for the web server), the event loop, the log, certificates and sockets."""


def needed(concurrency: int, *, web_connections: int) -> int:
    """Descriptors needed for `concurrency` requests in flight, including connections that Zoho has just closed."""
    return connections_needed(concurrency) + web_connections + BESIDE_POLLS


def affordable(limit: int, concurrency: int, *, web_connections: int) -> int:
    """The requests in flight that a limit of descriptors allows, at most `concurrency`; 0 if it allows none."""
    spare = limit - web_connections - BESIDE_POLLS
    return max(min(concurrency, spare * 2 // 3), 0)
