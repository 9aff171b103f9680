"""`poller orgs list` and `poller orgs show`: which orgs there are, and how each of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import org_facts, shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.settings import Settings
    from poller.store.orgs import OrgRecord


def add_to(orgs: typer.Typer) -> None:
    """Add the commands to `poller orgs`."""
    orgs.command("list")(list_orgs)
    orgs.command("show")(show)


def list_orgs(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """List every org, by name.

    Example: [bold]poller orgs list --json | jq -r 'select(.state != "active").org'[/bold]
    """
    shell.run(_list(shell.settings(), as_json=as_json))


def show(
    org: Annotated[str, typer.Argument(metavar="ORG", help="Its name.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
) -> None:
    """Show what is known of one org, and how often it can be polled; no secret.

    Example: [bold]poller orgs show "Acme Ltd"[/bold]
    """
    settings = shell.settings()
    if as_json:
        (record,) = shell.run(_find(settings, [org]))
        shell.tell(org_facts.as_json(record, settings))
        return
    from poller.cli import render

    facts = shell.run(_facts(settings, org))
    for line in render.facts(facts):
        shell.tell_folded(line, max(map(len, facts)) + 2)


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli import render
    from poller.store.orgs import stream_orgs

    async with open_app(settings, name="poller orgs") as app:
        if as_json:
            async for record in stream_orgs(app.database):
                shell.tell(org_facts.as_json(record, settings))
            return
        records = [record async for record in stream_orgs(app.database)]
    if records:
        shell.show(render.org_table(records))
    else:
        shell.say("There is no org yet; `poller orgs import FILE` brings some in.")


async def _find(settings: Settings, names: Sequence[str]) -> list[OrgRecord]:
    from poller.app import open_app
    from poller.store.orgs import find_orgs

    async with open_app(settings, name="poller orgs") as app:
        return await find_orgs(app.database, names, removed=True)


async def _facts(settings: Settings, name: str) -> dict[str, str]:
    from poller.app import open_app
    from poller.store.orgs import find_orgs
    from poller.store.pollable import read_pollable

    async with open_app(settings, name="poller orgs") as app:
        (record,) = await find_orgs(app.database, [name], removed=True)
        pollables = await read_pollable(
            app.database,
            [record.id],
            now=app.database.clock.now(),
            api_version=settings.api_version,
            interval_seconds=settings.poll_interval_seconds,
        )
    return org_facts.for_people(record, settings, pollables[0] if pollables else None)
