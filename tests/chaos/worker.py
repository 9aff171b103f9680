"""A worker as a separate process with short intervals, on a slot clock that the test can set: `… worker.py CLOCK`.

It is the `Worker` of `poller run`; only the configuration and the slot clock differ.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from poller import log
from poller.app import open_app, open_runner
from poller.cli.output import terminal
from poller.core.errors import PollerError
from poller.settings import load
from poller.worker import Worker, WorkerConfig

if TYPE_CHECKING:
    from datetime import datetime

CONFIG = WorkerConfig(
    max_concurrent_polls=12,
    schedule_interval_seconds=0.2,
    min_lookahead_seconds=3.0,
    max_lookahead_seconds=3.0,
    idle_seconds=0.2,
    heartbeat_timeout_seconds=3.0,
    worker_heartbeat_seconds=0.5,
    shutdown_grace_seconds=5.0,
)


async def main(clock: Path) -> None:
    settings = load(env_file=None)
    log.configure(log_format="json", level="info")

    async with open_app(settings, name="chaos") as app, open_runner(app) as runner:

        def now() -> datetime:
            return app.database.clock.now() + timedelta(seconds=float(clock.read_text(encoding="ascii") or 0))

        with terminal.stop_signals() as stopped:
            await Worker(settings, app.database, runner, CONFIG, now=now).run(stopped)


if __name__ == "__main__":
    try:
        terminal.run(main(Path(sys.argv[1])))
    except PollerError as error:
        sys.exit(f"worker: {error}")
