"""`poller status`: the fleet at a glance."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from poller.cli import shell

if TYPE_CHECKING:
    import typer

    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("status")(status)


def status() -> None:
    """Say how the fleet is: how many orgs are polled, and which wait for a person.

    Example: [bold]poller status[/bold]
    """
    shell.run(_status(shell.settings()))


async def _status(settings: Settings) -> None:
    from poller.app import open_app
    from poller.cli import org_facts, render
    from poller.store.orgs import stream_orgs

    states: Counter[str] = Counter()
    parked: dict[str, str] = {}
    async with open_app(settings, name="poller status") as app:
        async for org in stream_orgs(app.database):
            state = org_facts.state_of(org)
            states[state.partition(":")[0]] += 1
            if state.startswith("parked"):
                parked[org.name] = f"{org.parked_code}: {org.parked_remedy}"
    counts = {state: f"{count:,}" for state, count in sorted(states.items())}
    for line in render.facts({"orgs": f"{states.total():,}", **counts, **parked}):
        shell.tell(line)
