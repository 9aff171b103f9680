"""`poller status`: the fleet at a glance, what needs a person first."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.orgs import states_of
from poller.cli.output import terminal
from poller.core.quantities import count
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poller.query.fleet import FleetStatus
    from poller.settings import Settings

_WATCH_SECONDS: Final = 2.0
_CLEAR: Final = "\x1b[H\x1b[2J"
_HANG: Final = 6


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; with --watch, one per line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(metavar="STATES", help="Exit 1 if an org is in one of these: failing,parked,late.")
    ] = None,
) -> None:
    """Show the state of the fleet and its service: what needs a person, then credits, polls, queue, workers.

    Orgs that need a person are grouped by state and reason, with what to do: all are counted, and the first of each
    group named; --json names all. Intervals and credits are those of the service, not of this command.

    Example: [bold]poller status --fail-on failing,parked,late[/bold]
    """
    states = states_of(fail_on, "--fail-on") if fail_on is not None else ()
    last = terminal.run(_status(terminal.settings(), as_json=as_json, watch=watch))
    if last.fails(states):
        raise typer.Exit(1)


async def _status(settings: Settings, *, as_json: bool, watch: bool) -> FleetStatus:
    from poller.app import open_app
    from poller.core.alerts import AlertState
    from poller.query.alerts import alerts_by_state
    from poller.query.fleet import LISTED, fleet_status, status_fields

    async with open_app(settings, name="poller status") as app:
        while True:
            found = await fleet_status(app.database, app.database.clock.now(), listed=None if as_json else LISTED)
            alerts = await alerts_by_state(app.database, None)
            if as_json:
                of_alerts = {
                    state.value: number for state, number in alerts.items() if state is not AlertState.RESOLVED
                }
                terminal.out(json_text({**status_fields(found), "alerts": of_alerts}))
            else:
                if watch and sys.stdout.isatty():
                    print(_CLEAR, end="")
                else:
                    terminal.begin_listing()
                _show(found, alerts[AlertState.FIRING])
            if not watch:
                return found
            await asyncio.sleep(_WATCH_SECONDS)
            await app.database.read_clock()


def _show(found: FleetStatus, firing: int) -> None:
    from poller.cli.output import render
    from poller.cli.output.service_facts import service_facts

    counts = _counts(found)
    for name, line in zip(counts, render.facts(counts), strict=True):
        terminal.out_wrapped(line, _HANG, name)
    if firing:
        terminal.out(f"\n{count(firing, 'alert fires', 'alerts fire')}: `poller alerts`")
    for line, verdict in _needs_a_person(found):
        terminal.out_wrapped(line, _HANG, verdict)
    _tell("stretched", _stretched(found))
    _tell("credits of the last 24 hours", _credits(found))
    for heading, facts in service_facts(found).items():
        _tell(heading, facts)


def _counts(found: FleetStatus) -> dict[str, str]:
    counts = {"orgs": found.orgs, **found.by_state()}
    if found.states.stretched:
        counts["stretched"] = found.states.stretched
    return {name: f"{count:,}" for name, count in counts.items()}


def _needs_a_person(found: FleetStatus) -> Iterator[tuple[str, str]]:
    """A line for each state and reason, and one with the names of its orgs; each with the word to colour."""
    from poller.cli.output.render import plain
    from poller.query.fleet import remedy_of

    if found.troubles:
        yield "", ""
        yield "needs a person:", ""
    for one in found.troubles:
        reason = f", {plain(one.reason)}" if one.reason else ""
        yield f"  {one.count:,} {one.state}{reason}: {plain(remedy_of(one))}", one.state
        more = one.count - len(one.orgs)
        rest = f" and {more:,} more (`poller orgs list --state {one.state}` names all)" if more else ""
        yield f"      {', '.join(map(plain, one.orgs))}{rest}", ""


def _stretched(found: FleetStatus) -> dict[str, str]:
    from poller.core.durations import format_duration

    facts = {
        one.org: f"{format_duration(one.effective_interval_seconds)} instead of {format_duration(one.interval_seconds)}"
        for one in found.stretched
    }
    if more := found.states.stretched - len(facts):
        facts["…"] = f"and {more:,} more: `poller orgs list --json` has effective_interval_seconds of each"
    return facts


def _credits(found: FleetStatus) -> dict[str, str]:
    about = "about " if found.credits.estimated else ""
    facts = {"spent": f"{about}{found.credits.spent:,} of {found.states.credits_share:,} that are the poller's share"}
    if waiting := found.polls.out_of_credits:
        who = count(waiting, "org waits", "orgs wait")
        facts["used up"] = f"{who} until part of its share is older than a day"
    return facts


def _tell(heading: str, facts: Mapping[str, str]) -> None:
    from poller.cli.output import render

    if facts:
        terminal.out(f"\n{heading}:")
        for line in render.facts(facts):
            terminal.out_wrapped(f"  {line}", _HANG)
