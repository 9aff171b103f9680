"""`poller trend`: how counts moved over time, with gaps shown as gaps."""

from __future__ import annotations

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.formats import AsJson, Bom, Format, Layout, layout_of
from poller.cli.options.orgs import DataCenters, States, Tags, selection
from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType
from poller.core.spreadsheet import BYTE_ORDER_MARK
from poller.query.parameters import Since, seconds_of, type_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.app import App
    from poller.query.trend import TrendQuestion
    from poller.settings import Settings

    AskedAt = Callable[[datetime], TrendQuestion]
    """Makes the question, given PostgreSQL's time."""

Picture = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", dir_okay=False, help="Draw it as .png, .svg or .pdf.")
]
_NARROW: Final = 24
_UNBOUND: Final = 400
"""Characters of a sparkline: at least in a terminal, and always in a pipe."""
_TAKEN: Final = 75
"""Characters of the columns before the sparkline, with names of 30 characters."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("trend")(trend)


def trend(
    org: Annotated[str | None, typer.Argument(metavar="[ORG]", help="Its name; every org if none.")] = None,
    *,
    user_type: Annotated[
        str | None, typer.Option("--type", metavar="T", help="ActiveUsers, AdminUsers, …: one of Zoho's ten.")
    ] = None,
    since: Annotated[str, typer.Option(help="How far back (90d, 12w, 1y), or a day (2026-01-31).")] = "90d",
    every: Annotated[str, typer.Option(help="The length of a step: 1h, 1d, 1w.")] = "1d",
    output: Annotated[Format, typer.Option("--format", help="For people, spreadsheets or programs.")] = Format.TABLE,
    as_json: AsJson = False,
    tz: Annotated[str, typer.Option(help="Whose days: a time zone such as Europe/Berlin.")] = "UTC",
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    bom: Bom = False,
    picture: Picture = None,
) -> None:
    """Show how counts moved. A dot in a sparkline is a gap: counts that are not known are not drawn.

    One org: all ten counts; with --type, step by step. Every org: one line each, for ActiveUsers or --type. CSV and
    JSON hold every step of all orgs and types.

    Example: [bold]poller trend "Acme Ltd" --type AdminUsers --since 30d --tz Europe/Berlin --plot admins.png[/bold]
    """
    from poller.query.trend import TrendQuestion

    _check_plot(picture, output, as_json=as_json)
    layout = layout_of(output, as_json=as_json, bom=bom)
    zone = zone_of(tz)
    begin, every_seconds = Since(since, zone), seconds_of(every)
    only_type = None if user_type is None else type_of(user_type)
    among = selection(None, tags, states, data_centers)

    def asked_at(now: datetime) -> TrendQuestion:
        return TrendQuestion(org, only_type, begin.at(now), now, every_seconds, zone, among)

    if picture is None:
        terminal.run(_trend(terminal.settings(), asked_at, layout, bom=bom))
    else:
        terminal.run(_plot(terminal.settings(), asked_at, picture))


def _check_plot(picture: Path | None, output: Format, *, as_json: bool) -> None:
    if picture is not None and (as_json or output is not Format.TABLE):
        asked = "--json" if as_json else f"--format {output}"
        raise UsageError(f"--plot draws a picture and {asked} writes text", "give one of the two")


async def _trend(settings: Settings, asked_at: AskedAt, layout: Layout, *, bom: bool) -> None:
    from poller.app import open_app
    from poller.query.trend import trend_csv, trend_json, trend_json_objects

    async with open_app(settings, name="poller trend") as app:
        question = asked_at(app.database.clock.now())
        await _warn(app, question)
        if layout is Layout.TABLE:
            await draw(app, question)
            return
        write = {
            Layout.CSV: trend_csv,
            Layout.JSON_LIST: trend_json,
            Layout.JSON_LINES: trend_json_objects,
        }[layout]
        sys.stdout.write(BYTE_ORDER_MARK if bom else "")
        async with (
            await question.points(app.database, question.user_types()) as points,
            aclosing(write(points, question.zone)) as lines,
        ):
            async for line in lines:
                # Not flushed line by line: there may be millions.
                terminal.write(line)


async def draw(app: App, question: TrendQuestion) -> None:
    """Prints the answer as a table with sparklines."""
    from poller.cli.output import render
    from poller.query.trend import by_series

    user_types = question.user_types((UserType.ACTIVE,) if question.org is None else USER_TYPES)
    title = user_types[0].value if question.org is None else render.plain(question.org)
    table = render.overview_table(title, of_types=question.org is not None)
    async with await question.points(app.database, user_types) as points:
        async for series in by_series(points):
            if question.org is not None and len(user_types) == 1:
                terminal.begin_listing()
                terminal.show(render.trend_table(series, question.zone))
                _draw_one(f"{title} {user_types[0].value}", [point.last for point in series])
                return
            name = series[0].org if question.org is None else series[0].user_type.value
            table.rows.append(render.overview_row(name, series, _room(_TAKEN)))
    if table.rows:
        terminal.begin_listing()
        terminal.show(table)
    else:
        terminal.err("There is no org yet; `poller orgs import FILE` adds orgs.")


def _draw_one(title: str, values: Sequence[int | None]) -> None:
    """A sparkline after its title, or below the title in a narrow terminal."""
    from rich.cells import cell_len

    from poller.cli.output import render

    width = terminal.width()
    if width is not None and width - cell_len(title) - 2 < _NARROW:
        terminal.out_wrapped(title, 2)
        terminal.out(render.sparkline(values, width))
    else:
        terminal.out(f"{title}  {render.sparkline(values, _room(cell_len(title) + 2))}")


async def _plot(settings: Settings, asked_at: AskedAt, path: Path) -> None:
    from poller.app import open_app
    from poller.cli.output import plot
    from poller.query.trend import by_series

    plot.check_path(path)
    async with open_app(settings, name="poller trend") as app:
        question = asked_at(app.database.clock.now())
        await _warn(app, question)
        user_types = question.user_types((UserType.ACTIVE,) if question.org is None else USER_TYPES)
        edges = question.edges()
        async with await question.points(app.database, user_types) as points:
            if question.org is None:
                series, total = await plot.largest(by_series(points))
            else:
                series, total = [one async for one in by_series(points)], 1
    if not series:
        terminal.err("There is no org yet; `poller orgs import FILE` adds orgs.")
        return
    if question.org is None:
        plot.draw_fleet(path, series, total, edges, question.zone)
    else:
        plot.draw_org(path, series, edges, question.zone)
    terminal.say(f"Drawn: {path}")


async def _warn(app: App, question: TrendQuestion) -> None:
    """Warns if the question begins before the first kept snapshots: those steps are shown as gaps."""
    if (kept := await question.snapshots_kept_since(app.database)) is not None:
        terminal.err(
            f"Snapshots before {kept} are not kept any longer: of what is before, days of UTC are known"
            " (--every 1d, no --tz)."
        )


def _room(taken: int) -> int:
    width = terminal.width()
    return _UNBOUND if width is None else max(width - taken, _NARROW)
