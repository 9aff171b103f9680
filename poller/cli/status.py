"""`poller status`: the fleet at a glance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.cli import shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

    from poller.cli.org_facts import Pace
    from poller.settings import Settings
    from poller.store.orgs import OrgRecord


LISTED: Final = 20
"""Orgs of one heading: the rest are counted. Those that wait for a person are all named."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("status")(status)


def status() -> None:
    """Say how the fleet and its service are: orgs, credits, polls, queue, workers, chores.

    Orgs that are parked are named with what to do, and those that are polled more seldom than was asked for, because
    their credits pay for no more, with how often they are.

    Example: [bold]poller status[/bold]
    """
    shell.run(_status(shell.settings()))


@dataclass
class _Orgs:
    """The fleet, org by org: how many are in which state, who is to be named, and what was spent of their credits."""

    states: Counter[str] = field(default_factory=Counter)
    stretched: int = 0
    spent: int = 0
    share: int = 0
    used_up: int = 0
    named: dict[str, dict[str, str]] = field(default_factory=lambda: {"parked": {}, "stretched": {}})

    def add(self, org: OrgRecord, pace: Pace, spent: int) -> None:
        """`spent` credits in the last 24 hours."""
        from poller.cli.org_facts import state_of
        from poller.core.quota import REQUESTS_PER_POLL

        state = state_of(org).partition(":")[0]
        self.states[state] += 1
        self.spent += spent
        self.share += pace.share_of_credits
        if state == "parked":
            self.named["parked"][org.name] = f"{org.parked_code}: {org.parked_remedy}"
        if state != "active":
            return
        self.used_up += pace.share_of_credits - spent < REQUESTS_PER_POLL
        if pace.stretched:
            self.stretched += 1
            if len(self.named["stretched"]) < LISTED:
                self.named["stretched"][org.name] = str(pace)

    def facts(self) -> dict[str, str]:
        """How many, by state."""
        found = {"orgs": self.states.total(), **dict(sorted(self.states.items()))}
        if self.stretched:
            found["stretched"] = self.stretched
        return {name: f"{count:,}" for name, count in found.items()}

    def credits(self) -> dict[str, str]:
        """Of the last 24 hours."""
        found = {"spent": f"{self.spent:,} of {self.share:,} that are the poller's share"}
        if self.used_up:
            from poller.core.quantities import count

            who = count(self.used_up, "org waits", "orgs wait")
            found["used up"] = f"{who} until part of its share is older than a day"
        return found


async def _status(settings: Settings) -> None:
    from poller.app import open_app
    from poller.cli import render
    from poller.cli.org_facts import pace_of
    from poller.cli.service_facts import service_facts
    from poller.store import credits as credit_store
    from poller.store.orgs import stream_orgs

    orgs = _Orgs()
    async with open_app(settings, name="poller status") as app:
        now = app.database.clock.now()
        spent = await credit_store.spent_by_all(app.database, now)
        async for org in stream_orgs(app.database):
            orgs.add(org, pace_of(org, settings), spent.get(org.id, 0))
        service = await service_facts(app.database, now, LISTED)
    for line in render.facts(orgs.facts()):
        shell.tell(line)
    for heading, about in orgs.named.items():
        _tell(heading, about)
    if orgs.stretched > LISTED:
        shell.tell(f"  and {orgs.stretched - LISTED:,} more: `poller orgs list --json` tells interval_seconds of each")
    _tell("credits of the last 24 hours", orgs.credits())
    for heading, facts in service.items():
        _tell(heading, facts)


def _tell(heading: str, facts: Mapping[str, str]) -> None:
    from poller.cli import render

    if facts:
        shell.tell(f"\n{heading}:")
        for line in render.facts(facts):
            shell.tell_folded(f"  {line}", 6)
