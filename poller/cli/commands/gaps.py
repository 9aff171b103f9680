"""`poller gaps`: slots with unknown counts, and why."""

from __future__ import annotations

import sys
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.formats import AsJson, Bom, Format, Layout, layout_of
from poller.cli.options.orgs import DataCenters, States, Tags, selection
from poller.cli.output import terminal
from poller.cli.output.render import number, plain
from poller.core.quantities import count
from poller.core.spreadsheet import BYTE_ORDER_MARK
from poller.query.parameters import Since, zone_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import datetime, tzinfo

    from poller.query.gaps import Gaps
    from poller.query.selection import Selection
    from poller.settings import Settings

_LISTED: Final = 20
"""Orgs named in a sentence; the rest are counted."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("gaps")(gaps)


def gaps(
    org: Annotated[str | None, typer.Argument(metavar="[ORG]", help="Its name; every org if none.")] = None,
    *,
    since: Annotated[str, typer.Option(help="How far back (7d, 12w, 1y), or a day (2026-01-31).")] = "7d",
    output: Annotated[Format, typer.Option("--format", help="For people, spreadsheets or programs.")] = Format.TABLE,
    as_json: AsJson = False,
    tz: Annotated[str, typer.Option(help="Whose days and hours: a time zone such as Europe/Berlin.")] = "UTC",
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    bom: Bom = False,
) -> None:
    """Show what we do not know, and why: polls that failed, returned only a part of the counts, or were never made.

    The table joins slots that follow each other and have the same reason. CSV and JSON have every slot, and a row
    without a slot for each org that was never polled. Time in which an org was paused is not a gap.

    Example: [bold]poller gaps "Acme Ltd" --since 30d --tz Europe/Berlin[/bold]
    """
    layout = layout_of(output, as_json=as_json, bom=bom)
    chosen = selection(None if org is None else [org], tags, states, data_centers)
    terminal.run(_gaps(terminal.settings(), chosen, Since(since, zone_of(tz)), layout, bom=bom))


async def _gaps(settings: Settings, chosen: Selection, since: Since, layout: Layout, *, bom: bool) -> None:
    from poller.app import open_app
    from poller.query.gaps import open_gaps

    listed = _LISTED if layout is Layout.TABLE else None
    async with (
        open_app(settings, name="poller gaps") as app,
        open_gaps(app.database, chosen, since, listed=listed) as found,
    ):
        if found.kept_since is not None:
            terminal.err(f"Snapshots before {found.kept_since} are not kept any longer, and neither are their gaps.")
        if layout is Layout.TABLE:
            await _show(found, one_org=bool(chosen.names))
            return
        write = {Layout.CSV: found.csv, Layout.JSON_LIST: found.json, Layout.JSON_LINES: found.json_objects}[layout]
        sys.stdout.write(BYTE_ORDER_MARK if bom else "")
        async with aclosing(write()) as lines:
            async for line in lines:
                # Not flushed line by line: there may be millions.
                terminal.write(line)


async def _show(found: Gaps, *, one_org: bool) -> None:
    from poller.cli.output.table import Table

    table = Table(
        ("org", "from", "to", "slots", "why"), right=("slots",), spare=("to",), below="why", whole=("from", "to")
    )
    slots, orgs = 0, set()

    async def rows() -> AsyncIterator[Sequence[str]]:
        nonlocal slots
        async for gap in found.ranges():
            slots += gap.slots
            orgs.add(gap.first.org_id)
            begin, end = _moment(gap.first.slot, found.zone), _moment(gap.last.slot, found.zone)
            yield plain(gap.first.org), begin, end, number(gap.slots), plain(gap.first.reason)

    terminal.begin_listing()
    some = await terminal.show_stream(table, rows())
    since = _moment(found.since, found.zone)
    notes = list(_unknown_orgs(found))
    if some:
        of_orgs = "" if one_org else f" of {count(len(orgs), 'org')}"
        terminal.out_wrapped(f"{count(slots, 'slot')}{of_orgs} not wholly known since {since}.", 2)
        if notes:
            terminal.out("")
    elif not notes:
        terminal.say(f"Everything is known since {since}.")
    for line in notes:
        terminal.out_wrapped(line, 2)


def _unknown_orgs(found: Gaps) -> Iterator[str]:
    """Sentences about orgs that were not polled yet, or not at first: those slots are not listed as gaps."""
    unknown = found.unknown
    if unknown.never:
        names = list(unknown.never_orgs)[:_LISTED]
        more = unknown.never - len(names)
        rest = f" and {more:,} more (`poller orgs list --state never_polled`)" if more else ""
        yield f"Never polled, so nothing is known of: {', '.join(map(plain, names))}{rest}."
    if unknown.later:
        shown = dict(islice(unknown.first_slots.items(), _LISTED))
        more = unknown.later - len(shown)
        rest = f" and {more:,} more" if more else ""
        first = (f"{plain(org)} ({_moment(at, found.zone)})" for org, at in shown.items())
        yield f"Known only since their first poll: {', '.join(first)}{rest}."


def _moment(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
