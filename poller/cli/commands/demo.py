"""`poller demo`: a simulated fleet with history and polls, without Zoho."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.output import terminal
from poller.core import quantities
from poller.core.durations import DAY_SECONDS

if TYPE_CHECKING:
    from poller.demo import Demo, DemoOptions
    from poller.settings import Settings

_LINE_EVERY_SECONDS: Final = 3


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    *,
    orgs: Annotated[int, typer.Option(min=1, max=5_000, help="How many orgs the simulated Zoho has.")] = 12,
    days: Annotated[int, typer.Option(min=1, max=1_000, help="How many days of history there are.")] = 120,
    every: Annotated[int, typer.Option(min=1, max=3_600, help="Seconds from one poll to the next.")] = 5,
    polls: Annotated[int, typer.Option(min=0, help="End after this number of polls; 0: at Ctrl-C.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 2026,
) -> None:
    """Try it without Zoho: a simulated fleet, months of history, and polls every few seconds, until Ctrl-C.

    It has its own database, below POLLER_DATA_DIR, which is kept afterwards.

    Example: [bold]poller demo --orgs 30 --days 365[/bold]
    """
    from poller.demo import DemoOptions

    options = DemoOptions(orgs=orgs, seed=seed, days=days, every_seconds=every)
    if terminal.run(_demo(terminal.settings(database=False), options, polls)):
        raise typer.Exit(1)


async def _demo(settings: Settings, options: DemoOptions, polls: int) -> bool:
    """Whether the poller broke a rule of the simulated Zoho."""
    from poller.demo import FOLDER, is_of_another_fleet, open_demo

    folder = settings.data_dir / FOLDER
    if is_of_another_fleet(folder, options):
        terminal.out(f"The demo's database in {folder} is of another fleet or of fewer days; it is replaced.")
    terminal.out("Starting PostgreSQL and a simulated Zoho …")
    async with open_demo(settings, options) as running:
        terminal.out(f"A simulated Zoho listens at {', '.join(running.simulator.urls.values())}.")
        terminal.out(f"The demo's PostgreSQL lives in {folder}.")
        count = await running.import_fleet()
        await _back_fill(running, options, count)
        terminal.out(f"{count:,} orgs imported, {options.days} days of history in place:\n")
        await _draw(running, options)
        end = quantities.count(polls, "time") if polls else "until Ctrl-C"
        terminal.out(f"\nPolling every {options.every_seconds} s, {end}.")
        await _poll(running, options.every_seconds, polls)
        terminal.out("")
        # The counts of the largest org change most.
        org = max(running.simulator.fleet(), key=lambda one: one.licences).name
        await _draw(running, options, org)
        breaches: list[str] = running.simulator.audit()["breaches"]
        terminal.out("\nZoho's rules: " + (f"BROKEN: {'; '.join(breaches)}" if breaches else "none was broken."))
        terminal.out(f"To look again: POLLER_DATA_DIR='{folder}' {_poller()} trend '{org}' --type ActiveUsers")
        terminal.out(
            f"Seats and when they run out: POLLER_DATA_DIR='{folder}' {_poller()} forecast (or seats, anomalies)"
        )
        return bool(breaches)


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


async def _poll(running: Demo, every_seconds: int, polls: int) -> None:
    """Polls slot by slot and prints a line for each, until `polls` are done or Ctrl-C; running polls are finished."""
    from poller.cli.commands.poll import PollTally
    from poller.cli.output import render

    done = 0
    with terminal.stop_signals() as stopped:
        while not stopped.is_set():
            started = time.monotonic()
            tally = PollTally(lambda _org, _snapshot: None, lambda _count: None)
            await running.poll(tally.committed)
            if tally.outcomes:
                summary = render.poll_summary(tally.outcomes, tally.requests, time.monotonic() - started)
                terminal.out(f"{datetime.now(UTC):%H:%M:%S}  {summary}")
                done += 1
            if done == polls > 0:
                return
            try:
                # Until the next slot begins.
                async with asyncio.timeout(every_seconds - time.time() % every_seconds):
                    await stopped.wait()
            except TimeoutError:
                continue


async def _draw(running: Demo, options: DemoOptions, org: str | None = None) -> None:
    from poller.cli.commands import trend
    from poller.query.trend import TrendQuestion

    now = running.app.database.clock.now()
    since = now - timedelta(days=options.days)
    await trend.draw(running.app, TrendQuestion(org, None, since, now, DAY_SECONDS, UTC))


def _poller() -> str:
    """How this program was called: in a checkout, it is not in PATH."""
    return sys.argv[0] if sys.argv[0].endswith("poller") else "poller"
