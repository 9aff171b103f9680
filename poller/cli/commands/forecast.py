"""`poller forecast`: what counts are expected to be, and when seats run out."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.options.series import SeriesFile, SeriesFormat, check_series
from poller.cli.output import terminal
from poller.core.durations import DAY_SECONDS, parse_seconds
from poller.core.errors import UsageError
from poller.core.model import UserType
from poller.query.parameters import type_of
from poller.query.rows import json_text

if TYPE_CHECKING:
    from pathlib import Path

    from poller.query.capacity import OrgForecast
    from poller.query.selection import Selection
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("forecast")(forecast)


def forecast(
    orgs: Names = None,
    *,
    user_type: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="T", help="AdminUsers, AllUsers, …: one of Zoho's ten; ActiveUsers if not given."
        ),
    ] = None,
    horizon: Annotated[str, typer.Option(help="Days ahead, 1 to 365: 90, 90d or 12w.")] = "90d",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    series: SeriesFile = None,
    output: SeriesFormat = None,
) -> None:
    """Forecast daily counts with 80 and 95 % intervals, and the day seats run out.

    Without orgs: every org. With --series, any numbers of your own: one row per series and day, from the day after
    its last.

    Example: [bold]poller forecast "Acme Ltd" --horizon 90d --json[/bold]
    """
    days = _days(horizon)
    check_series(
        series, output, others=any(given is not None for given in (orgs, user_type, tags, states, data_centers))
    )
    if series is not None:
        _series(series, days, as_json=as_json)
        return
    chosen = selection(orgs, tags, states, data_centers)
    wanted = type_of(UserType.ACTIVE if user_type is None else user_type)
    terminal.run(_forecast(terminal.settings(), chosen, wanted.value, days, as_json=as_json))


def _series(series: Path, days: int, *, as_json: bool) -> None:
    from poller.query.series_file import forecast_lines, json_objects, open_series_file, read_series

    with open_series_file(series) as lines:
        file = read_series(lines)
    parts = forecast_lines(file, days)
    for part in json_objects(parts) if as_json else parts:
        terminal.write(part, end="")
    if not file.names:
        terminal.err(f"poller: {series} holds no series")


async def _forecast(settings: Settings, chosen: Selection, user_type: str, horizon: int, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.forecasts import ForecastQuestion, stream_forecasts

    found: list[OrgForecast] = []
    without_counts = 0
    async with open_app(settings, name="poller forecast") as app:
        question = ForecastQuestion(chosen, user_type, horizon, app.database.clock.now())
        async for page in stream_forecasts(app.database, question):
            without_counts += page.without_counts
            if as_json:
                for one in page.forecasts:
                    terminal.out(json_text(question.fields(one)))
            else:
                found += page.forecasts
    if not as_json:
        _show(found, without_counts, horizon)


def _show(found: list[OrgForecast], without_counts: int, horizon: int) -> None:
    """A row for each org, those whose seats run out soonest first."""
    from poller.cli.output.table import Table

    numbers = ("now", "seats", "a day", f"in {horizon} d", "80 %")
    table = Table(("org", *numbers, "seats run out"), right=numbers, spare=("80 %", "a day"), below="seats run out")
    for one in sorted(found, key=_soonest):
        record, last = one.record, one.points[-1]
        table.rows.append(
            (
                one.org,
                f"{record.level:,.0f}",
                "?" if record.seats is None else f"{record.seats:,}",
                "flat" if record.per_day == 0 else f"{record.per_day:+.2f}",
                f"{last.mean:,.0f}",
                f"{last.low80:,.0f}-{last.high80:,.0f}",
                _run_out(one),
            )
        )
    terminal.begin_listing()
    terminal.show(table)
    if without_counts:
        terminal.say(f"{without_counts:,} without any known count: nothing to forecast")


def _soonest(one: OrgForecast) -> tuple[date, str]:
    return one.record.exhausted_on or one.record.exhausted_low or date.max, one.org


def _run_out(one: OrgForecast) -> str:
    record = one.record
    if record.seats is None:
        return "seats not known"
    if record.level >= record.seats:
        return "all in use: more may be wanted than the forecast shows"
    low, high = record.exhausted_low, record.exhausted_high
    if low is None:
        return "not within a year"
    until = high.isoformat() if high else "later than a year"
    if record.exhausted_on is None:
        return f"no trend that says when; not before {low.isoformat()}"
    return f"{record.exhausted_on.isoformat()} ({low.isoformat()} to {until})"


def _days(text: str) -> int:
    """The days of a horizon; a bare number is days."""
    from poller.analysis.forecast import LONGEST_HORIZON

    try:
        days, rest = divmod(parse_seconds(text, bare_unit="d"), DAY_SECONDS)
    except ValueError:
        days, rest = 0, 0
    if rest or not 1 <= days <= LONGEST_HORIZON:
        raise UsageError(f"invalid horizon {text!r}", f"write 1 to {LONGEST_HORIZON} days, such as 90d")
    return days
