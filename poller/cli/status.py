"""`poller status`: the fleet at a glance."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from poller.cli import shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

    from poller.settings import Settings


LISTED: Final = 20
"""Orgs of one heading: the rest are counted. Those that wait for a person are all named."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("status")(status)


def status() -> None:
    """Say how the fleet and its service are: orgs, workers, queue, chores, and which orgs wait for a person.

    Orgs that are parked are named with what to do, and those that are polled more seldom than was asked for, because
    their credits pay for no more, with how often they are.

    Example: [bold]poller status[/bold]
    """
    shell.run(_status(shell.settings()))


async def _status(settings: Settings) -> None:
    from poller.app import open_app
    from poller.cli import org_facts, render
    from poller.cli.service_facts import service_facts
    from poller.store.orgs import stream_orgs

    states: Counter[str] = Counter()
    told: dict[str, dict[str, str]] = {"parked": {}, "stretched": {}}
    async with open_app(settings, name="poller status") as app:
        async for org in stream_orgs(app.database):
            state = org_facts.state_of(org).partition(":")[0]
            states[state] += 1
            if state == "parked":
                told["parked"][org.name] = f"{org.parked_code}: {org.parked_remedy}"
            elif (pace := org_facts.pace_of(org, settings)).stretched and state == "active":
                states["stretched"] += 1
                if len(told["stretched"]) < LISTED:
                    told["stretched"][org.name] = str(pace)
        service = await service_facts(app.database, datetime.now(UTC))
    counts = {state: f"{count:,}" for state, count in sorted(states.items())}
    for line in render.facts({"orgs": f"{states.total() - states['stretched']:,}", **counts}):
        shell.tell(line)
    for heading, about in told.items():
        _tell(heading, about)
    if states["stretched"] > LISTED:
        shell.tell(
            f"  and {states['stretched'] - LISTED:,} more: `poller orgs list --json` tells interval_seconds of each"
        )
    for heading, facts in service.items():
        _tell(heading, facts)


def _tell(heading: str, facts: Mapping[str, str]) -> None:
    from poller.cli import render

    if facts:
        shell.tell(f"\n{heading}:")
        for line in render.facts(facts):
            shell.tell_folded(f"  {line}", 6)
