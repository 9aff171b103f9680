"""`poller demo`: a simulated fleet with history, a dashboard and polls, without Zoho."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.commands.service import new_worker, serving
from poller.cli.commands.web import access_of
from poller.cli.output import terminal
from poller.core import quantities
from poller.core.durations import DAY_SECONDS
from poller.core.errors import OperationError

if TYPE_CHECKING:
    from poller.demo import Demo, DemoOptions, IntervalTally
    from poller.settings import Settings
    from poller.worker import Worker

_LINE_EVERY_SECONDS: Final = 3
_MOST_DRAWN: Final = 20
"""The trend of each org is drawn in a fleet of up to this size."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    *,
    orgs: Annotated[int, typer.Option(min=1, max=5_000, help="How many orgs the simulated Zoho has.")] = 40,
    days: Annotated[int, typer.Option(min=1, max=1_000, help="How many days of history there are.")] = 120,
    every: Annotated[int, typer.Option(min=1, max=3_600, help="Seconds from one poll to the next.")] = 5,
    polls: Annotated[int, typer.Option(min=0, help="End after this number of polls; 0: at Ctrl-C.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 2026,
) -> None:
    """Try it without Zoho: a simulated fleet with months of history, polls every few seconds, and the dashboard.

    It runs until Ctrl-C. It has its own database, below POLLER_DATA_DIR, which is kept afterwards. A fleet of twenty
    or more has orgs in trouble: revoked credentials, throttling, failures.

    Example: [bold]poller demo --orgs 30 --days 365[/bold]
    """
    from poller.demo import DemoOptions

    options = DemoOptions(orgs=orgs, seed=seed, days=days, every_seconds=every)
    if terminal.run(_demo(terminal.settings(database=False), options, polls)):
        raise typer.Exit(1)


async def _demo(settings: Settings, options: DemoOptions, polls: int) -> bool:
    """Whether the poller broke a rule of the simulated Zoho."""
    from poller.demo import FOLDER, IntervalTally, is_of_another_fleet, open_demo
    from poller.web import WorkerMetrics

    settings = _with_free_port(settings)
    folder = settings.data_dir / FOLDER
    if is_of_another_fleet(folder, options):
        terminal.out(f"The demo's database in {folder} is of another fleet or of fewer days; it is replaced.")
    terminal.out("Starting PostgreSQL and a simulated Zoho …")
    metrics, tally = WorkerMetrics(), IntervalTally()
    async with open_demo(settings, options, metrics) as running:
        worker = new_worker(running.app, running.runner, metrics, tally)
        async with serving(running.app, worker, metrics, await access_of(running.app)):
            terminal.out(f"A simulated Zoho listens at {', '.join(running.simulator.urls.values())}.")
            terminal.out(f"The demo's PostgreSQL lives in {folder}.")
            await _back_fill(running, options, await running.import_fleet())
            if options.orgs <= _MOST_DRAWN:
                await _draw(running, options)
            end = quantities.count(polls, "time") if polls else "until Ctrl-C"
            terminal.out(f"\nPolling every {options.every_seconds} s, {end}.")
            await _poll(running, worker, tally, options.every_seconds, polls)
        return await _summary(running, options)


async def _back_fill(running: Demo, options: DemoOptions, orgs: int) -> None:
    """Writes the history and its analyses, and shows progress: a bar on a terminal, lines in a pipe."""
    terminal.out(f"Writing {options.days} days of history of {quantities.count(orgs, 'org')} …")
    told_at = time.monotonic()
    with terminal.progress() as progress:
        task = progress.add_task("history", total=None)

        def show(done: int, total: int) -> None:
            nonlocal told_at
            progress.update(task, completed=done, total=total)
            if progress.disable and time.monotonic() - told_at >= _LINE_EVERY_SECONDS:
                told_at = time.monotonic()
                terminal.out(f"{done / total:4.0%} of the history is written")

        await running.back_fill(show)
    terminal.out("Forecasting, and looking for anomalies …")
    await running.analyse()
    terminal.out(f"{quantities.count(orgs, 'org')} imported, {options.days} days of history in place.\n")


async def _poll(running: Demo, worker: Worker, tally: IntervalTally, every_seconds: int, polls: int) -> None:
    """Polls all orgs once, then as a service does; prints a line for each interval, until `polls` or Ctrl-C."""
    started = time.monotonic()
    with terminal.stop_signals() as stopped:
        await running.cause_trouble()
        await running.poll(tally.results_committed)
        lines = _print_line(tally, time.monotonic() - started)
        if lines == polls > 0 or stopped.is_set():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stopped))
            while not stopped.is_set():
                started = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    # Until the next slot begins.
                    async with asyncio.timeout(every_seconds - time.time() % every_seconds):
                        await stopped.wait()
                lines += _print_line(tally, time.monotonic() - started)
                if lines == polls > 0:
                    stopped.set()


def _print_line(tally: IntervalTally, seconds: float) -> int:
    """Prints what the polls came to since the last line, if there were any; returns the number of lines."""
    from poller.cli.output import render

    outcomes, requests = tally.take()
    if outcomes:
        terminal.out(f"{datetime.now(UTC):%H:%M:%S}  {render.poll_summary(outcomes, requests, seconds)}")
    return int(bool(outcomes))


async def _summary(running: Demo, options: DemoOptions) -> bool:
    """Prints what to do next; returns whether the poller broke a rule of the simulated Zoho."""
    folder = running.app.settings.data_dir
    terminal.out("")
    # The counts of the largest org change most.
    org = max(running.simulator.fleet(), key=lambda one: one.licences).name
    await _draw(running, options, org)
    breaches: list[str] = running.simulator.audit()["breaches"]
    terminal.out("\nZoho's rules: " + (f"BROKEN: {'; '.join(breaches)}" if breaches else "none was broken."))
    terminal.out(f"To look again: POLLER_DATA_DIR='{folder}' {_poller()} trend '{org}' --type ActiveUsers")
    terminal.out(f"Seats and when they run out: POLLER_DATA_DIR='{folder}' {_poller()} forecast  # or seats, anomalies")
    return bool(breaches)


def _with_free_port(settings: Settings) -> Settings:
    """The settings with a free port for the dashboard; prints its address, before anything else is printed."""
    host, port = settings.web_host, settings.web_port
    free = _free_port(host, port)
    note = "ready in a few seconds" if port in {0, free} else f"ready in a few seconds; port {port} is in use"
    terminal.out(f"Dashboard: http://{f'[{host}]' if ':' in host else host}:{free} ({note})")
    return settings.model_copy(update={"web_port": free})


def _free_port(host: str, port: int) -> int:
    """`port` if it can be listened at, else any free port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Two sockets may be bound to one address, but only one may listen.
            probe.listen()
        except OSError as refused:
            if refused.errno not in {errno.EADDRINUSE, errno.EACCES} or port == 0:
                remedy = "set POLLER_WEB_HOST to an address of this machine"
                raise OperationError(
                    f"{host} port {port} cannot be listened at: {refused.strerror}", remedy
                ) from refused
            return _free_port(host, 0)
        free: int = probe.getsockname()[1]
        return free


async def _draw(running: Demo, options: DemoOptions, org: str | None = None) -> None:
    from poller.cli.commands import trend
    from poller.query.trend import TrendQuestion

    now = running.app.database.clock.now()
    since = now - timedelta(days=options.days)
    await trend.draw(running.app, TrendQuestion(org, None, since, now, DAY_SECONDS, UTC))


def _poller() -> str:
    """How this program was called: in a checkout, it is not in PATH."""
    return sys.argv[0] if sys.argv[0].endswith("poller") else "poller"
