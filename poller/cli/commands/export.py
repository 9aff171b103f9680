"""`poller export`: the long form in files, for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.options.formats import Bom  # noqa: TC001 - Typer reads the annotations
from poller.cli.options.orgs import DataCenters, States, Tags, selection
from poller.cli.output import terminal
from poller.core.model import USER_TYPES
from poller.core.quantities import count, size_of
from poller.core.series import DaySelection
from poller.export import ExportFormat
from poller.query.parameters import Since, type_of

if TYPE_CHECKING:
    from poller.core.model import UserType
    from poller.export import Exported
    from poller.query.selection import Selection as Chosen
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    *,
    output: Annotated[
        ExportFormat, typer.Option("--format", help="parquet for DuckDB, pandas and Spark; csv for everything else.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", file_okay=False, help="A folder; created if missing.")],
    since: Annotated[
        str | None, typer.Option(help="How far back (90d, 1y), or a day (2026-01-31); everything if not given.")
    ] = None,
    orgs: Annotated[
        list[str] | None, typer.Option("--org", metavar="ORG", help="Only this one; more than once.")
    ] = None,
    user_types: Annotated[
        list[str] | None, typer.Option("--type", metavar="T", help="ActiveUsers, AdminUsers, …; more than once.")
    ] = None,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    bom: Bom = False,
) -> None:
    """Write every count ever polled into files, one per day (UTC): org, type, slot, count, or why it is not known.

    Run it again at any time, such as after Ctrl-C: days that were written already and have not changed are skipped.

    Example: [bold]poller export --format parquet --out counts --since 90d[/bold]
    """
    terminal.check_bom(wanted=bom, csv=output is ExportFormat.CSV)
    begin = None if since is None else Since(since)
    chosen = selection(orgs, tags, states, data_centers)
    chosen_types = {type_of(name) for name in user_types or USER_TYPES}
    question = ExportRequest(output, out, begin, chosen, tuple(one for one in USER_TYPES if one in chosen_types), bom)
    terminal.run(_export(terminal.settings(), question))


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export. `since` None: from the oldest day on."""

    output: ExportFormat
    folder: Path
    since: Since | None
    orgs: Chosen
    user_types: tuple[UserType, ...]
    bom: bool


async def _export(settings: Settings, question: ExportRequest) -> None:
    from poller.app import open_app
    from poller.export import export

    async with open_app(settings, name="poller export") as app:
        now = app.database.clock.now()
        ids = await question.orgs.ids(app.database, removed=True)
        selected = DaySelection(None if ids is None else tuple(sorted(ids)), question.user_types)
        with terminal.progress() as progress:
            done = await export(
                app.database,
                question.folder,
                question.output,
                selected,
                since=None if question.since is None else question.since.at(now).date(),
                until=now.date(),
                byte_order_mark=question.bom,
                progress=terminal.counting(progress, "days"),
            )
    terminal.say(_summary(done, question.folder))


def _summary(done: Exported, folder: Path) -> str:
    kept = f", {done.kept:,} as before" if done.kept else ""
    days, rows = count(done.written, "day"), count(done.rows, "row")
    return f"{days} written{kept}: {rows}, {size_of(done.bytes)}, in {folder}"
