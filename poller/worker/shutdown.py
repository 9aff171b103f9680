"""Graceful shutdown: lets running polls end within the grace period, then closes the connections to PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from poller.core.errors import DatabaseError
from poller.worker.systemd import STOPPING, notify

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.worker.config import WorkerConfig
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.dispatcher import Dispatcher
    from poller.worker.writer import ResultWriter

log = structlog.get_logger("poller.worker")


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The shutdown of one worker."""

    database: Database
    dispatcher: Dispatcher
    writer: ResultWriter
    database_retry: DatabaseRetry
    config: WorkerConfig

    async def drain(self, stopping: asyncio.Event) -> None:
        """After the signal to stop: lets running polls end within the grace period, then returns the rest."""
        await stopping.wait()
        notify(STOPPING)
        grace_seconds = self.config.shutdown_grace_seconds
        log.info("worker.draining", under_way=self.dispatcher.running, grace_seconds=grace_seconds)
        self.writer.give_up_at = time.monotonic() + grace_seconds
        await asyncio.sleep(grace_seconds)
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(self.config.final_flush_seconds):
                await self.dispatcher.release_all()
                await asyncio.Event().wait()
        await self._abort()

    async def stop_at_once(self, working: asyncio.Task[None]) -> None:
        """Cancels the work; results in memory are written if PostgreSQL takes them within a moment."""
        self.writer.give_up_at = 0.0
        working.cancel()
        await asyncio.wait({working}, timeout=self.config.final_flush_seconds)
        if not working.done():
            await self._abort()
            await asyncio.wait({working})
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error from None

    async def _abort(self) -> None:
        """Closes all connections to PostgreSQL, then ends all retries."""
        self.database.terminate()
        await asyncio.sleep(self.config.final_flush_seconds)
        self.database_retry.abandoned = True
