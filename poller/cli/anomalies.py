"""`poller anomalies`: days on which counts did what they do not usually do."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from poller.cli import shell
from poller.cli.series import opened
from poller.core.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("anomalies")(anomalies)


def anomalies(
    *,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV file with the columns series,day,value; - for stdin.")
    ] = None,
) -> None:
    """Show steps, falls to zero, freezes and silences in daily counts.

    With --series in any numbers of your own: one row an anomaly, as CSV.

    Example: [bold]poller anomalies --series counts.csv[/bold]
    """
    if series is None:
        raise UsageError("no series to search", "name a file: --series FILE.csv")
    from poller.query.series_file import anomaly_lines, read_series

    with opened(series) as lines:
        file = read_series(lines)
    for part in anomaly_lines(file):
        shell.write(part, end="")
