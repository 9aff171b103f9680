"""Claims jobs from the queue and starts them, until the worker stops."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.errors import DatabaseError
from poller.store.queue.fair_share import NO_DATA_CENTER
from poller.store.queue.poll_claims import read_demand
from poller.store.queue.schedules import POLL
from poller.worker.database_retry import LONGEST_PAUSE_SECONDS
from poller.worker.pause import pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from poller.polling.runner import PollRunner
    from poller.store.database import Database
    from poller.store.queue.fair_share import FairShare
    from poller.store.queue.jobs import JobQueue
    from poller.worker.clock_watch import ClockWatch
    from poller.worker.config import WorkerConfig
    from poller.worker.database_retry import DatabaseRetry
    from poller.worker.dispatcher import Dispatcher

_BATCH: Final = 50
"""Jobs of one claim at most."""


class Claimer:
    """The loop of one worker that claims polls."""

    def __init__(
        self,
        database: Database,
        runner: PollRunner,
        queue: JobQueue,
        dispatcher: Dispatcher,
        database_retry: DatabaseRetry,
        *,
        clock_watch: ClockWatch,
        config: WorkerConfig,
        data_centers: Collection[str],
        now: Callable[[], datetime],
        stopping: asyncio.Event,
    ) -> None:
        self._database = database
        self._runner = runner
        self._queue = queue
        self._dispatcher = dispatcher
        self._database_retry = database_retry
        self._clock_watch = clock_watch
        self._config = config
        self._configured = frozenset({NO_DATA_CENTER, *data_centers})
        self._data_centers = self._configured
        self._now = now
        self._stopping = stopping
        self._share_out_at = 0.0

    async def run(self) -> None:
        """Claims and starts polls until the worker stops; then waits for the polls that run."""
        async with asyncio.TaskGroup() as polls:
            while not self._stopping.is_set():
                try:
                    await self._database_retry.run(self._claim_with_backoff(polls), stop_when=self._stopping.is_set)
                except DatabaseError as error:
                    if not error.passing:
                        raise

    def _claim_with_backoff(self, polls: asyncio.TaskGroup) -> Callable[[], Awaitable[None]]:
        """Returns a function that claims once. After an outage of PostgreSQL, other workers may write results first."""
        failed = unreachable = False

        async def claim() -> None:
            nonlocal failed, unreachable
            if failed:
                try:
                    await self._queue.ping()
                except DatabaseError:
                    unreachable = True
                    raise
                if unreachable:
                    await self._pause(LONGEST_PAUSE_SECONDS + 1)
                    unreachable = False
            failed = True
            await self._claim(polls)

        return claim

    async def _claim(self, polls: asyncio.TaskGroup) -> None:
        """Claims and starts as many polls as there are free places and jobs; waits a little if there are none."""
        dispatcher, config = self._dispatcher, self._config
        dispatcher.slot_freed.clear()
        free = config.max_concurrent_polls - dispatcher.running
        if self._clock_watch.wrong_seconds:
            await self._pause(config.idle_seconds)
            return
        if not free:
            await self._pause(config.idle_seconds, dispatcher.slot_freed)
            return
        cancellations = dispatcher.cancellations
        places = await self._free_places()
        share = await self._fair_share(places)
        if share.jobs:
            claimed_at = asyncio.get_running_loop().time()
            jobs = await self._queue.claim_polls(POLL, min(free, _BATCH, share.jobs), places)
            await dispatcher.start(jobs, polls, cancellations, claimed_at)
            await self._pause(config.claim_interval_seconds)
            return
        idle = config.idle_seconds
        wait = max(idle if share.next_seconds is None else min(share.next_seconds, idle), config.claim_interval_seconds)
        if all(places.values()):
            await self._pause(wait)
        else:
            # A place that becomes free may be what a waiting job of that data centre needs.
            await self._pause(wait, dispatcher.slot_freed)

    async def _fair_share(self, places: dict[str, int]) -> FairShare:
        """How many jobs this worker may claim now, and when it may claim the next."""
        config = self._config
        return await self._queue.fair_share(
            (POLL,),
            self._now() - timedelta(seconds=2 * config.worker_heartbeat_seconds),
            timedelta(seconds=config.fairness_delay_seconds),
            places,
            timedelta(seconds=config.keyless_seconds if self._dispatcher.lacks_keys else 0.0),
        )

    async def _free_places(self) -> dict[str, int]:
        """How many polls of each data centre may start; from time to time divides the places by demand again."""
        clock = time.monotonic()
        if clock >= self._share_out_at:
            demand = await read_demand(self._database, self._runner.policy.poll_interval_seconds)
            self._runner.share_out(demand)
            self._dispatcher.places.share_out(demand)
            self._data_centers = self._configured | demand.keys()
            self._share_out_at = clock + self._config.share_seconds
        return {name: self._dispatcher.places.free(name) for name in self._data_centers}

    async def _pause(self, seconds: float, *events: asyncio.Event) -> None:
        await pause(seconds, self._stopping, *events)
