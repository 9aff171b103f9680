"""Records the settings that `poller poll` runs with, so that readers show intervals and credits by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.fleet import WORKER_SEEN_WITHIN
from poller.store.queue.service_settings import save_settings_of_command

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.database import Database


async def record_settings(database: Database, settings: Settings) -> None:
    """Stores the settings of this command, unless a worker is running: the settings of workers win."""
    now = database.clock.now()
    await save_settings_of_command(database, settings.poll_policy, now, now - WORKER_SEEN_WITHIN)
