"""The options of `forecast` and `anomalies` that belong to `--series`, and those that do not go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poller.core.errors import UsageError

SeriesFile = Annotated[
    Path | None,
    typer.Option("--series", metavar="FILE", help="A CSV file with the columns series,day,value; - for stdin."),
]
SeriesFormat = Annotated[str | None, typer.Option("--format", metavar="FORMAT", help="Of --series: csv.")]


def check_series(series: Path | None, output: str | None, *, others: bool) -> None:
    """A `UsageError` for an option that would be ignored. `others`: an ORG or an option about orgs is given."""
    if series is None:
        if output is not None:
            raise UsageError("--format is about --series", "add --series FILE, or use --json")
    elif others:
        raise UsageError("--series is about a file, not about orgs", "leave out ORG and the options about orgs")
    elif output not in {None, "csv"}:
        raise UsageError(f"{output!r} is not a format of --series", "use --format csv")
