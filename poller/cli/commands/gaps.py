"""`poller gaps`: what is not known of the past, and why."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from poller.cli.formats import AsJson, Bom, Format, Layout, layout_of
from poller.cli.output import terminal
from poller.cli.output.render import plain
from poller.cli.selecting import DataCenters, States, Tags, selection
from poller.core.quantities import count
from poller.core.spreadsheet import BYTE_ORDER_MARK
from poller.query.parameters import Since, zone_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from datetime import tzinfo

    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.store.series.gaps import Gap, UnknownOrgs

_LISTED: Final = 20
"""Orgs that are named in a sentence; the rest are counted."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
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
    """Show what we do not know, and why: polls that failed, knew only a part, or never were.

    The table draws slots that follow on one another together, as long as their reason is the same; CSV and JSON hold
    every slot, and a row without a slot for each org that was never polled. Time in which an org was paused is no gap.

    Example: [bold]poller gaps "Acme Ltd" --since 30d --tz Europe/Berlin[/bold]
    """
    layout = layout_of(output, as_json=as_json, bom=bom)
    chosen = selection(None if org is None else [org], tags, states, data_centers)
    terminal.run(_gaps(terminal.settings(), chosen, Since(since, zone_of(tz)), layout, bom=bom))


@dataclass(frozen=True, slots=True)
class GapRequest:
    """What was asked."""

    orgs: Selection
    since: datetime
    until: datetime
    zone: tzinfo


@dataclass(slots=True)
class GapRange:
    """Gaps of one org and reason, each of the slot after that of the one before."""

    first: Gap
    last: Gap
    slots: int = 1

    def takes(self, gap: Gap) -> bool:
        """Whether this gap, the next of all, belongs to the stretch; it is part of it then."""
        if not gap.follows or (gap.org_id, gap.reason) != (self.last.org_id, self.last.reason):
            return False
        self.last = gap
        self.slots += 1
        return True


async def stretches(found: AsyncIterator[Gap]) -> AsyncIterator[GapRange]:
    """Gaps that follow on one another, put together."""
    stretch: GapRange | None = None
    async for gap in found:
        if stretch is not None and stretch.takes(gap):
            continue
        if stretch is not None:
            yield stretch
        stretch = GapRange(gap, gap)
    if stretch is not None:
        yield stretch


async def _gaps(settings: Settings, chosen: Selection, since: Since, layout: Layout, *, bom: bool) -> None:
    from poller.app import open_app
    from poller.cli.output import render
    from poller.store.queue.service_settings import read_service_settings
    from poller.store.series.gaps import stream_gaps, unknown_orgs
    from poller.store.series.retention import raw_since

    async with open_app(settings, name="poller gaps") as app:
        now = app.database.clock.now()
        question = GapRequest(chosen, since.at(now), now, since.zone)
        kept = await raw_since(app.database)
        if question.since.date() < kept:
            terminal.say(f"Snapshots before {kept} are not kept any longer, and neither are their gaps.")
            question = replace(question, since=datetime(kept.year, kept.month, kept.day, tzinfo=UTC))
        ids = await question.orgs.ids(app.database, removed=True)
        service = await read_service_settings(app.database)
        listed = _LISTED if layout is Layout.TABLE else None
        unknown = await unknown_orgs(app.database, question.since, org_ids=ids, listed=listed)
        found = stream_gaps(
            app.database,
            question.since,
            question.until,
            interval_seconds=service.poll_interval_seconds,
            org_ids=ids,
        )
        async with aclosing(cast("AsyncGenerator[Gap]", found)) as stream:
            if layout is Layout.TABLE:
                await _draw(stream, question, unknown)
                return
            write = {
                Layout.CSV: render.gap_csv,
                Layout.JSON_LIST: render.gap_json,
                Layout.JSON_LINES: render.gap_json_objects,
            }[layout]
            sys.stdout.write(BYTE_ORDER_MARK if bom else "")
            async with aclosing(write(stream, question.zone, unknown.never_orgs)) as lines:
                async for line in lines:
                    # By blocks: there may be millions.
                    terminal.write(line)


def _unknown(unknown: UnknownOrgs, question: GapRequest) -> Iterator[str]:
    """Orgs whose past is not known because nobody had polled them: no slot of theirs is listed as a gap."""
    if unknown.never:
        names = list(unknown.never_orgs)[:_LISTED]
        more = unknown.never - len(names)
        rest = f" and {more:,} more (`poller orgs list --state never_polled`)" if more else ""
        yield f"Never polled, so nothing is known of: {', '.join(map(plain, names))}{rest}."
    if unknown.later:
        shown = dict(islice(unknown.first_slots.items(), _LISTED))
        more = unknown.later - len(shown)
        rest = f" and {more:,} more" if more else ""
        first = (f"{plain(org)} ({_moment(at, question)})" for org, at in shown.items())
        yield f"Known only since their first poll: {', '.join(first)}{rest}."


def _moment(at: datetime, question: GapRequest) -> str:
    return f"{at.astimezone(question.zone):%Y-%m-%d %H:%M}"


async def _draw(found: AsyncIterator[Gap], question: GapRequest, unknown: UnknownOrgs) -> None:
    from poller.cli.output import render
    from poller.cli.output.table import Table

    table = Table(("org", "from", "to", "slots", "why"), right=("slots",), spare=("to",))
    slots, orgs = 0, set()
    async for stretch in stretches(found):
        slots += stretch.slots
        orgs.add(stretch.first.org_id)
        begin, end = (_moment(gap.slot, question) for gap in (stretch.first, stretch.last))
        reason = render.plain(stretch.first.reason)
        table.rows.append((render.plain(stretch.first.org), begin, end, render.number(stretch.slots), reason))
    when = f"{question.since.astimezone(question.zone):%Y-%m-%d %H:%M}"
    notes = list(_unknown(unknown, question))
    if slots:
        terminal.show(table)
        of_orgs = "" if question.orgs.names else f" of {count(len(orgs), 'org')}"
        terminal.tell_folded(f"{count(slots, 'slot')}{of_orgs} not wholly known since {when}.", 2)
        if notes:
            terminal.tell("")
    elif not notes:
        terminal.tell(f"Everything is known since {when}.")
    for line in notes:
        terminal.tell_folded(line, 2)
