"""`poller run`: the service.

A module called `run` would hide the function of that name in `poller.cli`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.commands.web import access_of
from poller.cli.output import terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.admin.digests import DigestTask
    from poller.app import App
    from poller.notify.message import Message
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.runner import PollRunner
    from poller.query.digest import DigestFacts
    from poller.settings import Settings
    from poller.web import Access, WorkerMetrics
    from poller.worker import Worker


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run")(serve)


def serve(
    *,
    web: Annotated[
        bool, typer.Option("--web/--no-web", help="Serve pages, API and metrics, or nothing.", show_default=False)
    ] = True,
) -> None:
    """Run the service: poll every org when it is due, until Ctrl-C or SIGTERM.

    Run as many as you like, on any machines, on one database: they share the work, and the others take over the work
    of one that dies. The first signal to stop lets running polls finish, the second stops at once.

    Example: [bold]poller run[/bold]
    """
    if terminal.run(_run(terminal.settings(serving=True), web=web)):
        raise typer.Exit(1)


async def _run(settings: Settings, *, web: bool) -> int:
    """How many rows were lost because the database stayed unreachable until the end."""
    from poller.admin.keys import place_of_keys, require_keys
    from poller.app import open_app, open_runner
    from poller.open_files import fit_open_files
    from poller.polling.instrumentation import combine
    from poller.traces import open_spans
    from poller.web import ConnectionLimits, WorkerMetrics

    if settings.notify_addresses:
        # This takes a second, because it imports Apprise.
        from poller.notify.checks import check_addresses

        await check_addresses(settings.notify_addresses, "POLLER_NOTIFY_URLS")
    settings = fit_open_files(settings, _warn, web_connections=ConnectionLimits().most_connections if web else None)
    metrics = WorkerMetrics()
    async with open_app(settings, name="poller run", create=True) as app:
        access = await access_of(app) if web else None
        await require_keys(app.database, app.keyring, place_of_keys(settings))
        async with open_spans() as spans, open_runner(app, instrumentation=combine(metrics, spans)) as runner:
            worker = new_worker(app, runner, metrics)
            with terminal.stop_signals() as stopped:
                async with serving(app, worker, metrics, access):
                    terminal.tune_gc()
                    await worker.run(stopped)
            return worker.lost_rows


def _warn(what: str) -> None:
    import structlog

    structlog.get_logger("poller.cli").warning("descriptors.few", what=what)


def new_worker(app: App, runner: PollRunner, metrics: WorkerMetrics, other: Instrumentation | None = None) -> Worker:
    """The worker of this process, with its gauges; `other` observes it beside the metrics."""
    from poller.core.shares import polls_at_once
    from poller.polling.instrumentation import combine
    from poller.worker import Worker, WorkerConfig

    config = WorkerConfig(max_concurrent_polls=polls_at_once(app.settings.concurrency))
    hooks = combine(metrics, other)
    worker = Worker(
        app.settings,
        app.database,
        runner,
        config,
        now=app.database.clock.now,
        instrumentation=hooks,
        digest=_digest_task(app),
    )
    _watch(metrics, worker, app.settings)
    return worker


def _digest_task(app: App) -> DigestTask | None:
    """What sends the digest when it is due; None: there is none."""
    settings, schedule = app.settings, app.settings.digest
    if schedule is None:
        return None
    from poller.admin.digests import DigestTask
    from poller.reports.digest import make_digest

    def write(facts: DigestFacts) -> Message:
        return make_digest(facts, schedule.zone, settings.web_origin).message()

    return DigestTask(schedule, settings.notify_addresses, app.keyring, write)


@asynccontextmanager
async def serving(app: App, worker: Worker, metrics: WorkerMetrics, access: Access | None) -> AsyncIterator[str | None]:
    """Runs the web server of this worker, with its own database connections; yields its address.

    Without `access`, or where the default port is in use, there is none.
    """
    from poller.admin.writer import open_writer
    from poller.query.reader import open_reader
    from poller.web import Api, Health, serve

    if access is None:
        yield None
        return
    settings = app.settings
    async with (
        open_reader(app.dsn, worker.now) as reader,
        open_writer(app.dsn, app.keyring, app.database.clock) as writer,
    ):
        health = Health(worker.not_ready_reason, reader.fleet_stats, reader.org_ages, settings.metrics_orgs)
        api = Api(reader)
        # A second worker on a machine finds the default port in use, and polls without a web server.
        chosen = bool({"web_host", "web_port"} & settings.model_fields_set)
        place = settings.web_host, settings.web_port
        async with serve(*place, health, metrics, api, access=access, required=chosen, writer=writer) as url:
            yield url


def _watch(metrics: WorkerMetrics, worker: Worker, settings: Settings) -> None:
    """Adds gauges of what this worker is doing now."""

    def away() -> dict[str, float]:
        open_ones = worker.facts()["away"]
        return {name: float(name in open_ones) for name in settings.data_centers}

    metrics.add_gauge("poller_polls_under_way", "Orgs being polled.", lambda: worker.facts()["under_way"])
    metrics.add_gauge("poller_readings_held", "Readings that wait to be written.", lambda: worker.facts()["held"])
    metrics.add_gauge("poller_sink_rows", "Readings on their way to the database.", lambda: worker.batch_writer.depth)
    metrics.add_gauge(
        "poller_sink_oldest_seconds", "How long the oldest has been.", lambda: worker.batch_writer.oldest_seconds
    )
    metrics.add_gauge(
        "poller_clock_difference_seconds",
        "How far this machine's clock is ahead of PostgreSQL's.",
        lambda: worker.database.clock.machine_ahead_seconds,
    )
    metrics.add_gauges("poller_data_center_away", "Whether its circuit is open.", "data_center", away)
