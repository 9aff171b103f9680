"""`poller run`: the service.

A module called `run` would hide the function of that name in `poller.cli`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import typer

from poller.cli import shell

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.web import Figures
    from poller.worker import Worker


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("run")(serve)


def serve() -> None:
    """Be the service: poll every org when it is due, until Ctrl-C or SIGTERM.

    Run as many as you like, on any machines, over one database: they share the work, and one that dies is made up for.
    Told to stop, it finishes what it has begun; told twice, it stops at once.

    Example: [bold]poller run[/bold]
    """
    if shell.run(_run(shell.settings(serving=True))):
        raise typer.Exit(1)


async def _run(settings: Settings) -> int:
    """How many readings were lost, because the database did not come back before the end."""
    from poller.app import Ears, open_app, open_fleet
    from poller.store.figures import fleet_figures, org_ages
    from poller.traces import open_spans
    from poller.web import Api, Figures, Health, serve
    from poller.worker import Pace, Worker

    figures = Figures()
    ears = Ears(figures.judged, figures.waited, figures.token_replied, figures.token_issued)
    async with (
        open_app(settings, name="poller run", create=True) as app,
        open_spans() as spans,
        open_fleet(app, ears=ears, spans=spans) as fleet,
    ):
        # An org of the smallest edition has two requests in flight: this many orgs use every permit.
        pace = Pace(hands=math.ceil(settings.concurrency / 2))
        worker = Worker(settings, app.database, fleet, pace, now=app.database.clock.now, observer=figures)
        _watch(figures, worker, settings)
        shell.settle_memory()
        health = Health(
            worker.why_not_ready,
            lambda: fleet_figures(app.database, worker.now()),
            lambda at_most: org_ages(app.database, worker.now(), at_most),
            settings.metrics_orgs,
        )
        with shell.stop_signals() as stopped:
            api = Api(app.database, settings.api_key, worker.now)
            async with serve(settings.web_host, settings.web_port, health, figures, api):
                await worker.run(stopped)
        return worker.lost


def _watch(figures: Figures, worker: Worker, settings: Settings) -> None:
    """What is in hand just now, read when somebody asks."""

    def away() -> dict[str, float]:
        open_ones = worker.facts()["away"]
        return {name: float(name in open_ones) for name in settings.data_centers}

    figures.watch("poller_polls_under_way", "Orgs being polled.", lambda: worker.facts()["under_way"])
    figures.watch("poller_readings_held", "Readings that wait to be written.", lambda: worker.facts()["held"])
    figures.watch("poller_sink_rows", "Readings on their way to the database.", lambda: worker.sink.depth)
    figures.watch("poller_sink_oldest_seconds", "How long the oldest has been.", lambda: worker.sink.oldest_seconds)
    figures.watch(
        "poller_clock_difference_seconds",
        "How far this machine's clock is ahead of PostgreSQL's.",
        lambda: worker.database.clock.machine_ahead_seconds,
    )
    figures.watch_each("poller_data_center_away", "Whether its circuit is open.", "data_center", away)
