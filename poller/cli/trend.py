"""`poller trend`: what is known of the past, gaps and all."""

from __future__ import annotations

import re
import sys
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final, cast
from zoneinfo import ZoneInfo

import typer

from poller.cli import shell
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from datetime import tzinfo

    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.trends import TrendPoint

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_NARROW: Final = 24
_UNBOUND: Final = 400
"""Characters of a sparkline: the fewest in a terminal, and where there is no terminal to fill."""
_TAKEN: Final = 75
"""By the columns before it, names of 30 characters among them."""


class Format(StrEnum):
    """How a trend is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
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
    tz: Annotated[str, typer.Option(help="Whose days: a time zone such as Europe/Berlin.")] = "UTC",
    picture: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", dir_okay=False, help="Draw it as .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Show how counts moved. A dot in a sparkline is a gap: what we do not know is not drawn.

    One org: all ten counts; with --type, step by step. Every org: a line each, of ActiveUsers or --type. CSV and JSON
    hold every step of all of it.

    Example: [bold]poller trend "Acme Ltd" --type AdminUsers --since 30d --tz Europe/Berlin --plot admins.png[/bold]
    """
    zone, now = zone_of(tz), datetime.now(UTC)
    question = Question(
        org=org,
        kind=None if user_type is None else type_of(user_type),
        since=since_of(since, now, zone),
        until=now,
        every_seconds=seconds_of(every),
        zone=zone,
    )
    if picture is None:
        shell.run(_trend(shell.settings(), question, output))
    else:
        shell.run(_plot(shell.settings(), question, picture))


def seconds_of(text: str) -> int:
    """Seconds in `90s`, `15m`, `1h`, `1d`, `12w`, `1y`."""
    match = re.fullmatch(r"([0-9]{1,6})([smhdwy])", text.strip().lower())
    if match is None or not int(match[1]):
        raise UsageError(f"{text!r} is no length of time", "write 15m, 1h, 1d, 12w or 1y")
    return int(match[1]) * _UNITS[match[2]]


def since_of(text: str, now: datetime, zone: tzinfo) -> datetime:
    """The moment (UTC) so long ago, or the beginning of that day in `zone`."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            begin = datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(f"{text!r} is no day", "write it as 2026-01-31") from None
        if begin >= now:
            raise UsageError(f"{text} is not in the past", "name an earlier day")
        return begin
    try:
        return now - timedelta(seconds=seconds_of(text))
    except OverflowError:
        raise UsageError(f"{text!r} is before all calendars", "ask for less") from None


def zone_of(name: str) -> tzinfo:
    """The time zone of that name."""
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name!r}", "name one such as Europe/Berlin, or UTC") from None


def type_of(name: str) -> UserType:
    """The user type of that name, in any case."""
    for user_type in USER_TYPES:
        if user_type.value.lower() == name.lower():
            return user_type
    raise UsageError(f"{name!r} is no user type", f"use one of {', '.join(USER_TYPES)}")


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. `org` None: every org; `kind` None: all ten, or ActiveUsers where there is room for one."""

    org: str | None
    kind: UserType | None
    since: datetime
    until: datetime
    every_seconds: int
    zone: tzinfo

    def edges(self) -> list[datetime]:
        """Where the steps begin, and where the last of them ends."""
        from poller.store.trends import bucket_edges

        return bucket_edges(self.since, self.until, self.every_seconds, self.zone)


async def _trend(settings: Settings, question: Question, output: Format) -> None:
    from poller.app import open_app
    from poller.cli import render

    async with open_app(settings, name="poller trend") as app:
        await _warn(app.database, question)
        if output is Format.TABLE:
            await draw(app.database, question)
            return
        kinds = USER_TYPES if question.kind is None else (question.kind,)
        write = render.trend_csv if output is Format.CSV else render.trend_json
        async with (
            await _points(app.database, question, kinds) as points,
            aclosing(write(points, question.zone)) as lines,
        ):
            async for line in lines:
                # By blocks: there may be millions.
                sys.stdout.write(f"{line}\n")


async def draw(database: Database, question: Question) -> None:
    """Print the answer as a table with sparklines."""
    from poller.cli import render

    of_fleet = (UserType.ACTIVE,) if question.org is None else USER_TYPES
    kinds = of_fleet if question.kind is None else (question.kind,)
    title = kinds[0].value if question.org is None else render.plain(question.org)
    table = render.overview_table(title)
    async with await _points(database, question, kinds) as points:
        async for series in _series(points):
            if question.org is not None and len(kinds) == 1:
                shell.show(render.trend_table(series, question.zone))
                title = f"{title} {kinds[0].value}"
                spark = render.sparkline([point.last for point in series], _room(len(title) + 2))
                shell.tell(f"{title}  {spark}")
                return
            name = series[0].org if question.org is None else series[0].user_type.value
            table.rows.append(render.overview_row(name, series, _room(_TAKEN)))
    if table.rows:
        shell.show(table)
    else:
        shell.say("There is no org yet; `poller orgs import FILE` brings some in.")


async def _plot(settings: Settings, question: Question, path: Path) -> None:
    from poller.app import open_app
    from poller.cli import plot

    plot.check_path(path)
    async with open_app(settings, name="poller trend") as app:
        await _warn(app.database, question)
        one_type = (UserType.ACTIVE,) if question.org is None else USER_TYPES
        kinds = one_type if question.kind is None else (question.kind,)
        edges = question.edges()
        async with await _points(app.database, question, kinds) as points:
            if question.org is None:
                series, total = await plot.largest(_series(points))
            else:
                series, total = [one async for one in _series(points)], 1
    if not series:
        shell.say("There is no org yet; `poller orgs import FILE` brings some in.")
        return
    if question.org is None:
        plot.draw_fleet(path, series, total, edges, question.zone)
    else:
        plot.draw_org(path, series, edges, question.zone)
    shell.tell(f"Drawn: {path}")


async def _warn(database: Database, question: Question) -> None:
    """Say so where a question reaches beyond what is kept: what is no longer known is drawn as what never was."""
    from poller.store.retention import whole_since
    from poller.store.trends import are_days

    edges = question.edges()
    if edges[0].date() < (kept := await whole_since(database)) and not are_days(edges):
        shell.say(
            f"Snapshots before {kept} are not kept any longer: of what is before, days of UTC are known"
            " (--every 1d, no --tz)."
        )


def _room(taken: int) -> int:
    width = shell.width()
    return _UNBOUND if width is None else max(width - taken, _NARROW)


async def _series(points: AsyncIterator[TrendPoint]) -> AsyncIterator[list[TrendPoint]]:
    """The points of one org and type at a time: a fleet's history does not fit in memory."""
    series: list[TrendPoint] = []
    async for point in points:
        if series and (point.org_id, point.user_type) != (series[0].org_id, series[0].user_type):
            yield series
            series = []
        series.append(point)
    if series:
        yield series


async def _points(
    database: Database, question: Question, kinds: Sequence[UserType]
) -> aclosing[AsyncGenerator[TrendPoint]]:
    """A generator to be closed, so that whoever stops reading gives the connection back."""
    from poller.store.orgs import find_orgs
    from poller.store.trends import org_trend

    ids = None if question.org is None else [org.id for org in await find_orgs(database, [question.org])]
    return aclosing(
        cast("AsyncGenerator[TrendPoint]", org_trend(database, question.edges(), org_ids=ids, user_types=kinds))
    )
