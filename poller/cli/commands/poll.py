"""`poller poll`: polls orgs once, now."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.output import terminal
from poller.core.model import Outcome
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress

    from poller.core.model import Snapshot
    from poller.polling.results import PollResult
    from poller.query.selection import Selection
    from poller.settings import Settings

MOST_NAMES: Final = 5
LARGEST_TABLE: Final = 50
"""Orgs in a table. In a larger fleet, only orgs with unknown counts are listed, up to this number."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("poll")(poll)


def poll(
    orgs: Names = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """Poll orgs once, now, and store the counts.

    Every org gets a row, also if its poll fails, unless another process polls it during the next 15 seconds. Orgs that
    are named are polled even if paused or parked. Exit 1 if a count is not known.

    Example: [bold]poller poll "Acme Ltd" --json[/bold]
    """
    chosen = selection(orgs, tags, states, data_centers)
    tally = terminal.run(_poll(terminal.settings(), chosen, as_json=as_json))
    if tally.busy or tally.outcomes.total() != tally.outcomes[Outcome.OK]:
        raise typer.Exit(1)


class PollTally:
    """The results of a command, in little memory even for a large fleet."""

    def __init__(self, tell: Callable[[str, Snapshot], None], advance: Callable[[int], None]) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.requests = 0
        self.rows: list[tuple[str, Snapshot]] = []
        self.troubled: list[tuple[str, Snapshot]] = []
        self.stdout_closed: BrokenPipeError | None = None
        """Set once the pipe that reads the output is closed. The polls go on, because their rows matter most."""
        self.busy: list[str] = []
        """Orgs that another process was polling."""
        self._tell = tell
        self._advance = advance

    def committed(self, batch: Sequence[PollResult]) -> None:
        for polled in batch:
            row = (polled.org.name, polled.snapshot)
            self.outcomes[polled.snapshot.outcome] += 1
            self.requests += polled.snapshot.requests
            # One more than is shown, to know whether there are more.
            if len(self.rows) <= LARGEST_TABLE:
                self.rows.append(row)
            if polled.snapshot.outcome is not Outcome.OK and len(self.troubled) < LARGEST_TABLE:
                self.troubled.append(row)
            if self.stdout_closed is None:
                try:
                    self._tell(*row)
                except BrokenPipeError as gone:
                    self.stdout_closed = gone
        self._advance(len(batch))


async def _poll(settings: Settings, chosen: Selection, *, as_json: bool) -> PollTally:
    from poller.admin.service_settings import record_settings
    from poller.app import open_app, open_runner
    from poller.cli.output import render
    from poller.open_files import fit_open_files
    from poller.polling.poll_all import poll_all
    from poller.query.org import count_pollable
    from poller.traces import open_spans

    settings = fit_open_files(settings, lambda what: terminal.err(f"poller: warning: {what}"))
    async with open_app(settings, name="poller poll") as app, open_spans() as spans:
        await record_settings(app.database, settings)
        names = await chosen.pollable(app.database)
        total = await count_pollable(app.database, names)
        with terminal.progress() as progress:

            def tell(org: str, snapshot: Snapshot) -> None:
                if as_json:
                    terminal.out(render.poll_json(org, snapshot))

            started = time.monotonic()
            tally = PollTally(tell, _bar(progress, total))
            async with open_runner(app, instrumentation=spans) as runner:
                terminal.tune_gc()
                tally.busy = await poll_all(runner, names, tally.committed, probe=bool(chosen.names))
            seconds = time.monotonic() - started
    if tally.stdout_closed is not None:
        raise tally.stdout_closed
    if tally.busy:
        terminal.err(_busy(tally.busy))
    if as_json:
        return tally
    if not total:
        terminal.err("There is no active org yet; `poller orgs import FILE` adds orgs.")
        return tally
    rows = tally.rows if len(tally.rows) <= LARGEST_TABLE else tally.troubled
    if rows:
        terminal.show(render.poll_table(sorted(rows, key=lambda row: row[0])))
    terminal.say(render.poll_summary(tally.outcomes, tally.requests, seconds))
    return tally


def _busy(names: Sequence[str]) -> str:
    some = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    orgs = count(len(names), "org is", "orgs are")
    return f"poller: {orgs} polled by another process, and not by this command: {some}; see poller status"


def _bar(progress: Progress, total: int) -> Callable[[int], None]:
    task = progress.add_task("polling", total=total)
    return lambda count: progress.advance(task, count)
