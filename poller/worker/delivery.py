"""Delivers messages about alerts beside the polls. Nothing that fails here stops a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from poller.notify.delivery import Deliverer
from poller.worker.pause import pause

if TYPE_CHECKING:
    import asyncio

    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

_AFTER_FAULT_SECONDS: Final = 60.0

log = structlog.get_logger("poller.worker")


async def deliver(database: Database, keyring: Keyring, settings: Settings, stopping: asyncio.Event) -> None:
    """Delivers until `stopping` is set, then returns within a few seconds."""
    while not stopping.is_set():
        try:
            await Deliverer(database, keyring, settings.notify_addresses).run(stopping)
        except Exception as fault:  # noqa: BLE001 - its text may contain an address
            log.error("messages.failed", error=type(fault).__name__, remedy="report it")  # noqa: TRY400
            await pause(_AFTER_FAULT_SECONDS, stopping)
