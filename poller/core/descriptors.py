"""How many file descriptors a process needs for its requests in flight, and how many requests its limit allows."""

from __future__ import annotations

from typing import Final

from poller.core.shares import connections_needed

BESIDE_POLLS: Final = 64
"""For the database's connections (ten, and as many for the web), the event loop, the log, certificates and sockets."""


def needed(concurrency: int, *, web_connections: int) -> int:
    """Descriptors for so many requests in flight; connections that Zoho has just closed may take as many again."""
    return connections_needed(concurrency) + web_connections + BESIDE_POLLS


def affordable(limit: int, concurrency: int, *, web_connections: int) -> int:
    """The requests in flight that a limit of descriptors allows, at most `concurrency`; 0: not even one."""
    spare = limit - web_connections - BESIDE_POLLS
    return max(min(concurrency, spare * 2 // 3), 0)
