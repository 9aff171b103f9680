"""`poller anomalies`: days on which counts did something unusual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.options.series import SeriesFile, SeriesFormat, check_series
from poller.cli.output import terminal
from poller.query.parameters import Since
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date
    from pathlib import Path

    from poller.query.anomalies import Anomaly
    from poller.query.selection import Selection
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("anomalies")(anomalies)


def anomalies(
    orgs: Names = None,
    *,
    since: Annotated[
        str | None, typer.Option(help="How far back (30d, 12w, 1y), or a day (2026-01-31); 30d if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and anomaly.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    series: SeriesFile = None,
    output: SeriesFormat = None,
) -> None:
    """Show days on which counts did something unusual: steps, freezes, new administrators, and more.

    The service searches every hour. With --series, any numbers of your own are searched: one CSV row per anomaly.

    Example: [bold]poller anomalies --since 30d --tag gold[/bold]
    """
    check_series(series, output, others=any(given is not None for given in (orgs, since, tags, states, data_centers)))
    if series is not None:
        _series(series, as_json=as_json)
        return
    chosen = selection(orgs, tags, states, data_centers)
    terminal.run(_anomalies(terminal.settings(), chosen, Since("30d" if since is None else since), as_json=as_json))


def _series(series: Path, *, as_json: bool) -> None:
    from poller.query.series_file import anomaly_lines, json_objects, open_series_file, read_series

    with open_series_file(series) as lines:
        file = read_series(lines)
    parts = anomaly_lines(file)
    for part in json_objects(parts) if as_json else parts:
        terminal.write(part, end="")


async def _anomalies(settings: Settings, chosen: Selection, begin: Since, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.anomalies import recorded_anomalies

    async with open_app(settings, name="poller anomalies") as app:
        since = begin.at(app.database.clock.now()).date()
        found = recorded_anomalies(app.database, chosen, since)
        if not as_json:
            await _show(found, since)
            return
        async for anomaly in found:
            terminal.out(json_text(anomaly.fields()))


async def _show(found: AsyncIterator[Anomaly], since: date) -> None:
    from poller.cli.output.table import Table

    headings = ("day", "org", "user type", "kind", "severity", "why")
    table = Table(headings, spare=("severity", "user type"), below="why", whole=("day",), verdicts=("severity",))
    rows = ((one.day.isoformat(), one.org, one.user_type, one.kind, one.severity, one.why) async for one in found)
    terminal.begin_listing()
    if not await terminal.show_stream(table, rows):
        terminal.say(f"no anomalies since {since.isoformat()}")
