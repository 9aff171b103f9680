"""Raises this process's limit of open files as far as the system allows, and compares it with what polls need."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from poller.core.descriptors import affordable, needed
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.settings import Settings

ENOUGH: Final = 65_536
"""The limit is raised to this at most; no allowed POLLER_CONCURRENCY needs more."""


def fit_open_files(
    settings: Settings, warn: Callable[[str], None], *, web_connections: Callable[[], int] | None = None
) -> Settings:
    """Raises the soft limit of open files; if it is still too low, warns and lowers POLLER_CONCURRENCY.

    `web_connections`: how many connections a web server of this process may have, depending on the limit; None: no web
    server. A limit that allows no request at all is a `UsageError`.
    """
    limit = _raise_limit()
    for_web = 0 if web_connections is None else web_connections()
    wanted = needed(settings.concurrency, web_connections=for_web)
    if limit >= wanted:
        return settings
    concurrency = affordable(limit, settings.concurrency, web_connections=for_web)
    remedy = f"raise the limit of open files (ulimit -n, LimitNOFILE=) to {wanted}"
    if not concurrency:
        raise UsageError(f"this process may open {limit} files, too few to poll at all", remedy)
    warn(
        f"this process may open {limit} files: POLLER_CONCURRENCY is lowered from {settings.concurrency} to"
        f" {concurrency}; {remedy}"
    )
    return settings.model_copy(update={"concurrency": concurrency})


def _raise_limit() -> int:
    """Raises the soft limit towards the hard one; returns the soft limit afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH
    if soft < goal:
        with suppress(ValueError, OSError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
