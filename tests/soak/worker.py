"""A worker as `poller run` has it, as a process of its own, on the soak's clock: `… worker.py CLOCK`.

Slots, maintenance tasks, holds, tokens and heartbeats follow this clock. How often the worker looks is in seconds of
real time, so that lateness can be given in seconds, too.
"""

from __future__ import annotations

import math
import sys

from poller import log
from poller.app import open_app, open_runner
from poller.cli.output import terminal
from poller.core.errors import PollerError
from poller.settings import load
from poller.store.fleet_stats import fleet_stats, org_ages
from poller.web import Health, WorkerMetrics, serve
from poller.worker import Worker, WorkerConfig
from tests.soak.clock import Clock


def config_of(clock: Clock, concurrency: int) -> WorkerConfig:
    """The configuration of `poller run`, except that the more frequent slots are enqueued twice a second."""
    return WorkerConfig(
        max_concurrent_polls=math.ceil(concurrency / 2),
        schedule_interval_seconds=clock.scaled(0.5),
        min_lookahead_seconds=clock.scaled(1.5),
        max_lookahead_seconds=clock.scaled(3.0),
        idle_seconds=0.1,
        heartbeat_timeout_seconds=clock.scaled(30.0),
        worker_heartbeat_seconds=clock.scaled(10.0),
    )


async def main(clock: Clock) -> int:
    settings = load(env_file=None)
    log.configure(log_format="json", level="info")
    figures = WorkerMetrics()
    async with (
        open_app(settings, name="soak worker") as app,
        open_runner(app, now=clock.now, sleep=clock.sleep, instrumentation=figures) as runner,
    ):
        config = config_of(clock, settings.concurrency)
        worker = Worker(
            settings, app.database, runner, config, now=clock.now, sleep=clock.sleep, instrumentation=figures
        )
        health = Health(
            worker.not_ready_reason,
            lambda: fleet_stats(app.database, worker.now()),
            lambda at_most: org_ages(app.database, worker.now(), at_most),
        )
        with terminal.stop_signals() as stopped:
            async with serve("127.0.0.1", 0, health, figures) as url:
                terminal.out(str(url))
                await worker.run(stopped)
        return worker.lost_rows


if __name__ == "__main__":
    try:
        sys.exit(1 if terminal.run(main(Clock.read(sys.argv[1]))) else 0)
    except PollerError as error:
        sys.exit(f"worker: {error}")
