"""`poller orgs list` and `poller orgs show`: orgs with their state, last poll and counts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.output import terminal
from poller.query.rows import json_text

if TYPE_CHECKING:
    from poller.app import App
    from poller.core.states import OrgState
    from poller.query.selection import Selection
    from poller.settings import Settings

_FIRST: Final = 100
"""Orgs that a terminal without a pager shows, as many as a person reads; a pager and a pipe get all."""


def add_to(orgs: typer.Typer) -> None:
    """Adds the commands to `poller orgs`."""
    orgs.command("list")(list_orgs)
    orgs.command("show")(show)


def list_orgs(
    names: Names = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """List orgs by name, with state, last poll, and age of the counts.

    A terminal without a pager shows the first hundred, a pipe all.

    Example: [bold]poller orgs list --state failing,parked --tag customer:north --json[/bold]
    """
    terminal.run(_list(terminal.settings(), selection(names, tags, states, data_centers), as_json=as_json))


def show(
    names: Annotated[list[str] | None, typer.Argument(metavar="ORG...", help="Names of orgs.")] = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """Show what is known of orgs: state, last poll, counts, and how often they can be polled; no secret.

    Example: [bold]poller orgs show "Acme Ltd"[/bold]
    """
    from poller.cli.options.orgs import required

    chosen = required(selection(names, tags, states, data_centers))
    terminal.run(_show(terminal.settings(), chosen, as_json=as_json))


async def _list(settings: Settings, chosen: Selection, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli.output.org_table import OrgLines, org_table
    from poller.query.org import filter_of, first_org_states, longest_org_name, state_fields, stream_org_states

    async with open_app(settings, name="poller orgs list") as app:
        which = await filter_of(app.database, chosen)
        if as_json:
            async for org in stream_org_states(app.database, which):
                sys.stdout.write(f"{json_text(state_fields(org))}\n")
            return
        if terminal.has_pager():
            await _page(app, chosen)
            return
        if sys.stdout.isatty():
            first = await first_org_states(app.database, which, _FIRST)
            if first.orgs:
                terminal.show(org_table(first.orgs, app.database.clock.now()))
            if first.total > len(first.orgs):
                terminal.err(
                    f"The first {_FIRST} of {first.total:,} orgs: select with --tag or --state, or pipe the list on."
                )
            _say_if_none(first.orgs, chosen)
            return
        lines = OrgLines(await longest_org_name(app.database))
        now = app.database.clock.now()
        seen: list[OrgState] = []
        async for org in stream_org_states(app.database, which):
            if not seen:
                seen.append(org)
                sys.stdout.write(f"{lines.heading()}\n")
            sys.stdout.write(f"{lines.line(org, now)}\n")
        _say_if_none(seen, chosen)


async def _page(app: App, chosen: Selection) -> None:
    """Every org, in a pager if they do not fit the screen."""
    from poller.cli.output.org_table import org_cells, org_table
    from poller.query.org import filter_of, stream_org_states

    now, which = app.database.clock.now(), await filter_of(app.database, chosen)
    terminal.begin_listing()
    rows = (org_cells(org, now) async for org in stream_org_states(app.database, which))
    if not await terminal.show_stream(org_table((), now), rows):
        _say_if_none([], chosen)


def _say_if_none(orgs: list[OrgState], chosen: Selection) -> None:
    if orgs:
        return
    if chosen.is_everything:
        terminal.err("There is no org yet; `poller orgs import FILE` adds orgs.")
    else:
        terminal.err(f"No org matches {chosen}." if chosen.is_filter else "None of these orgs is there.")


async def _show(settings: Settings, chosen: Selection, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli.output import org_facts, render
    from poller.query.org_details import read_details

    async with open_app(settings, name="poller orgs show") as app:
        found = await chosen.find(app.database, removed=True)
        if not as_json:
            terminal.begin_listing()
        for place, org_id in enumerate(found):
            details = await read_details(app.database, org_id)
            if details is None:
                continue
            if as_json:
                terminal.out(json_text(org_facts.as_fields(details)))
                continue
            if place:
                terminal.out("")
            facts = org_facts.for_people(details)
            verdicts = {"state": details.state.state, "last poll": details.state.last_outcome or ""}
            for name, line in zip(facts, render.facts(facts), strict=True):
                terminal.out_wrapped(line, max(map(len, facts)) + 2, verdicts.get(name, ""))
