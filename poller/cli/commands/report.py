"""`poller report`: a page for each customer about one month, as a file that can be sent."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.output import terminal
from poller.core.quantities import count, size_of
from poller.query.rows import json_text

if TYPE_CHECKING:
    from poller.query.selection import Selection
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("report")(report)


def report(
    orgs: Names = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="A file that ends with .html or .csv; replaced if it exists.")
    ],
    month: Annotated[
        str | None, typer.Option(metavar="MONTH", help="Such as 2026-10; the last month that is over if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object about the file.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
) -> None:
    """Write a month as pages for customers: growth, seats, idle cost, forecast with its past error, gaps.

    The HTML file has a page for each org and prints on A4; more than one org has a summary first. It needs no network.
    CSV has a row for each org and user type. A month that is not over is reported up to today. Days are days of UTC.

    Example: [bold]poller report --month 2026-10 --tag gold --out october.html[/bold]
    """
    from poller.reports.monthly import check_file

    check_file(out)
    chosen = selection(orgs, tags, states, data_centers)
    terminal.run(_report(terminal.settings(), chosen, month, out, as_json=as_json))


async def _report(settings: Settings, chosen: Selection, month: str | None, out: Path, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.monthly import period_of, stream_months
    from poller.reports.monthly import write_report
    from poller.reports.monthly.wording import period_words

    started = time.monotonic()
    async with open_app(settings, name="poller report") as app:
        period = period_of(month, app.database.clock.now())
        with terminal.progress() as progress:
            months = stream_months(app.database, chosen, period, terminal.counting(progress, "orgs"))
            written = await write_report(out, months, period)
    if as_json:
        facts: dict[str, Any] = {
            "file": str(out),
            "month": str(period.month),
            "until": period.last_day,
            "orgs": written.orgs,
            "without_counts": written.without_counts,
            "bytes": written.bytes,
            "seconds": round(time.monotonic() - started, 3),
        }
        terminal.out(json_text(facts))
        return
    unknown = f", {written.without_counts:,} without a known count" if written.without_counts else ""
    terminal.say(f"{out}: {period_words(period)}, {count(written.orgs, 'org')}{unknown}, {size_of(written.bytes)}")
