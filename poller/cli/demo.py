"""`poller demo`: all of it, without Zoho."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.demo import Demo, DemoOptions
    from poller.fleet import Polled
    from poller.settings import Settings

_SPARKLINE: Final = 48


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("demo")(demo)


def demo(
    *,
    orgs: Annotated[int, typer.Option(min=1, max=5_000, help="How many orgs the simulated Zoho has.")] = 12,
    days: Annotated[int, typer.Option(min=1, max=1_000, help="How many days of history there are.")] = 120,
    every: Annotated[int, typer.Option(min=1, max=3_600, help="Seconds from one poll to the next.")] = 5,
    polls: Annotated[int, typer.Option(min=0, help="End after so many polls; 0: at Ctrl-C.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed is the same fleet.")] = 2026,
) -> None:
    """Try it without Zoho: a simulated fleet, months of history, and polls every few seconds, until Ctrl-C.

    It has a database of its own, below POLLER_DATA_DIR, which stays for you to look at.

    Example: [bold]poller demo --orgs 30 --days 365[/bold]
    """
    from poller.demo import DemoOptions  # noqa: PLC0415

    shell.run(_demo(shell.settings(), DemoOptions(orgs=orgs, seed=seed, days=days, every_seconds=every), polls))


async def _demo(settings: Settings, options: DemoOptions, polls: int) -> None:
    from poller.demo import FOLDER, open_demo  # noqa: PLC0415

    async with open_demo(settings, options) as demo:
        shell.tell(f"A simulated Zoho listens at {', '.join(demo.simulator.urls.values())}.")
        shell.tell(f"The demo's PostgreSQL lives in {settings.data_dir / FOLDER}.")
        count = await demo.import_fleet()
        with shell.progress() as progress:
            task = progress.add_task("history", total=None)
            await demo.back_fill(lambda done, total: progress.update(task, completed=done, total=total))
        shell.tell(f"{count} orgs imported, {options.days} days of history in place:\n")
        await _draw(demo, options.days)
        shell.tell(f"\nPolling every {options.every_seconds} s" + ("." if polls else ", until Ctrl-C."))
        await _poll_on(demo, options, polls)
        shell.tell("")
        await _draw(demo, options.days)
        breaches = demo.simulator.audit()["breaches"]
        shell.tell("\nZoho's rules: " + ("none was broken." if not breaches else f"BROKEN: {'; '.join(breaches)}"))
        shell.tell(f"To look again: POLLER_DATA_DIR='{settings.data_dir / FOLDER}' poller trend")
    if breaches:
        raise typer.Exit(1)


async def _poll_on(demo: Demo, options: DemoOptions, polls: int) -> None:
    """Poll slot by slot until told to stop; what is under way then is finished."""
    stopped = asyncio.create_task(shell.until_stopped())
    done = 0
    try:
        while not stopped.done() and (not polls or done < polls):
            outcomes: Counter[str] = Counter()
            requests = 0

            def committed(batch: Sequence[Polled]) -> None:
                nonlocal requests
                for one in batch:
                    outcomes[one.snapshot.outcome] += 1  # noqa: B023 - called before the next round
                    requests += one.snapshot.requests

            started = time.monotonic()
            await demo.poll(committed)
            seconds = time.monotonic() - started
            done += 1
            fates = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
            shell.tell(f"{datetime.now(UTC):%H:%M:%S}  {fates} · {requests} requests in {seconds:.2f} s")
            if not polls or done < polls:
                until_next = options.every_seconds - time.time() % options.every_seconds
                await asyncio.wait({stopped}, timeout=until_next)
    finally:
        stopped.cancel()


async def _draw(demo: Demo, days: int) -> None:
    """The trend of ActiveUsers, org by org."""
    from poller.cli import render  # noqa: PLC0415
    from poller.core.model import UserType  # noqa: PLC0415
    from poller.store.trends import TrendPoint, bucket_edges, org_trend  # noqa: PLC0415

    now = datetime.now(UTC)
    edges = bucket_edges(now - timedelta(days=days), now, 86_400)
    series: dict[str, list[TrendPoint]] = {}
    async for point in org_trend(demo.app.database, edges, user_types=[UserType.ACTIVE]):
        series.setdefault(point.org, []).append(point)
    shell.console().print(render.trend_overview("ActiveUsers", series, _SPARKLINE))
