"""`poller anomalies`: days on which counts did what they do not usually do."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal
from poller.cli.selecting import DataCenters, Names, States, Tags, selection
from poller.cli.series import opened
from poller.query.parameters import Since
from poller.query.rows import json_text

if TYPE_CHECKING:
    from datetime import date

    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.store.queries import Record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("anomalies")(anomalies)


def anomalies(
    orgs: Names = None,
    *,
    since: Annotated[str, typer.Option(help="How far back (30d, 12w, 1y), or a day (2026-01-31).")] = "30d",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object a line.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV file with the columns series,day,value; - for stdin.")
    ] = None,
) -> None:
    """Show days on which counts did what they do not usually do: steps, freezes, new administrators, and more.

    The service searches every hour. With --series in any numbers of your own: one row an anomaly, as CSV.

    Example: [bold]poller anomalies --since 30d --tag gold[/bold]
    """
    if series is not None:
        _series(series, as_json=as_json)
        return
    chosen = selection(orgs, tags, states, data_centers)
    terminal.run(_anomalies(terminal.settings(), chosen, Since(since), as_json=as_json))


def _series(series: Path, *, as_json: bool) -> None:
    from poller.query.series_file import anomaly_lines, json_objects, read_series

    with opened(series) as lines:
        file = read_series(lines)
    parts = anomaly_lines(file)
    for part in json_objects(parts) if as_json else parts:
        terminal.write(part, end="")


async def _anomalies(settings: Settings, chosen: Selection, begin: Since, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.store.capacity.anomalies import stream_anomalies

    rows: list[Record] = []
    async with open_app(settings, name="poller anomalies") as app:
        since = begin.at(app.database.clock.now()).date()
        ids = await chosen.ids(app.database, removed=True)
        async for row in stream_anomalies(app.database, ids, since):
            if as_json:
                terminal.tell(json_text(dict(row)))
            else:
                rows.append(row)
    if not as_json:
        _show(rows, since)


def _show(rows: list[Record], since: date) -> None:
    from poller.cli.output.table import Table

    if not rows:
        terminal.tell(f"no anomalies since {since.isoformat()}")
        return
    table = Table(("day", "org", "user type", "kind", "severity", "why"), spare=("severity", "user type"))
    for row in rows:
        fields = (row["org"], row["user_type"], row["kind"], row["severity"], row["why"])
        table.rows.append((row["day"].isoformat(), *fields))
    terminal.show(table)
