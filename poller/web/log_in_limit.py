"""Limits log-ins: some a minute from one source, and some in all. A decision over times that are passed in."""

from __future__ import annotations

import math
from collections import deque
from ipaddress import IPv6Address, ip_network
from typing import Final

from poller.web.hosts import address_of

PER_SOURCE: Final = 5
IN_ALL: Final = 60
WINDOW_SECONDS: Final = 60.0


class LogInLimit:
    """The log-ins of the last minute."""

    def __init__(self, per_source: int = PER_SOURCE, in_all: int = IN_ALL) -> None:
        self._per_source = per_source
        self._in_all = in_all
        self._taken: deque[tuple[float, str]] = deque()

    def take(self, source: str, now: float) -> int:
        """0, and the log-in counts; or after how many seconds the source may try again."""
        while self._taken and self._taken[0][0] <= now - WINDOW_SECONDS:
            self._taken.popleft()
        source = _network(source)
        times = [at for at, other in self._taken if other == source]
        if len(times) >= self._per_source:
            return math.ceil(times[-self._per_source] + WINDOW_SECONDS - now)
        if len(self._taken) >= self._in_all:
            return math.ceil(self._taken[0][0] + WINDOW_SECONDS - now)
        self._taken.append((now, source))
        return 0


def _network(source: str) -> str:
    """One subscriber has many IPv6 addresses, so the first half of an address counts."""
    address = address_of(source)
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else source
