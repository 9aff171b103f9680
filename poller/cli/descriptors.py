"""The limit of open files of this process: raised as far as the system allows, and held against what polls need."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from poller.core.descriptors import affordable, needed
from poller.core.errors import UsageError
from poller.web.connections import ConnectionLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.settings import Settings

ENOUGH: Final = 65_536
"""The limit is raised to this at most, enough for every concurrency that may be set."""


def with_descriptors(settings: Settings, warn: Callable[[str], None], *, web: bool = False) -> Settings:
    """Raise the soft limit of open files; where that does not suffice, `warn` and allow fewer requests in flight.

    A limit that allows no request at all is a `UsageError`.
    """
    limit = _raise_limit()
    web_connections = ConnectionLimits().most_connections() if web else 0
    wanted = needed(settings.concurrency, web_connections=web_connections)
    if limit >= wanted:
        return settings
    concurrency = affordable(limit, settings.concurrency, web_connections=web_connections)
    remedy = f"raise the limit of open files (ulimit -n, LimitNOFILE=) to {wanted}"
    if not concurrency:
        raise UsageError(f"this process may open {limit} files, too few to poll at all", remedy)
    warn(
        f"this process may open {limit} files: POLLER_CONCURRENCY is lowered from {settings.concurrency} to"
        f" {concurrency}; {remedy}"
    )
    return settings.model_copy(update={"concurrency": concurrency})


def _raise_limit() -> int:
    """The soft limit afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH
    if soft < goal:
        with suppress(ValueError, OSError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
