"""`poller forecast`: what counts are expected to be, and when seats run out."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from poller.cli import shell
from poller.cli.series import opened
from poller.core.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("forecast")(forecast)


def forecast(
    *,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV file with the columns series,day,value; - for stdin.")
    ] = None,
    horizon: Annotated[str, typer.Option(help="Days ahead, 1 to 365: 90 or 90d.")] = "90d",
    output: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv.")] = "csv",
) -> None:
    """Forecast daily counts with 80 and 95 % intervals.

    With --series any numbers of your own: one row a day for each series, from the day after its last.

    Example: [bold]poller forecast --series counts.csv --horizon 90 --format csv[/bold]
    """
    days = _days(horizon)
    if output != "csv":
        raise UsageError(f"{output!r} is not a format of --series", "use --format csv")
    if series is None:
        raise UsageError("no series to forecast", "name a file: --series FILE.csv")
    from poller.query.series_file import forecast_lines, read_series

    with opened(series) as lines:
        file = read_series(lines)
    for part in forecast_lines(file, days):
        shell.write(part, end="")
    if not file.names:
        shell.say(f"poller: {series} holds no series")


def _days(text: str) -> int:
    from poller.analysis.forecast import LONGEST_HORIZON

    number = text.strip().lower().removesuffix("d")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= LONGEST_HORIZON):
        raise UsageError(f"invalid horizon {text!r}", f"write 1 to {LONGEST_HORIZON} days, such as 90d")
    return int(number)
