"""`poller plan`: what polling the fleet costs in credits, requests, workers and disk, now or after changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal
from poller.query.rows import json_text
from poller.query.what_if import read_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.query.what_if import Changes
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("plan")(plan)


def plan(
    *,
    what_if: Annotated[
        list[str] | None,
        typer.Option("--what-if", metavar="CHANGES", help="Such as interval=5m,orgs=+200,share=0.2; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Plan capacity: credits, stretched orgs, requests per second, workers, disk a year.

    The figures are measured by this installation where it has enough polls, else defaults; the plan says which.
    Changes: interval, share, orgs=+200 (or -50, or 2000), edition, licences, in_flight, concurrency, retention. With
    orgs=+N, edition and licences are those of the added orgs, else of all. Nothing is changed but the plan.

    Example: [bold]poller plan --what-if interval=5m,share=0.2 --what-if orgs=+200,edition=free[/bold]
    """
    changes = [read_changes(text) for text in what_if or ()]
    terminal.run(_plan(terminal.settings(), changes, as_json=as_json))


async def _plan(settings: Settings, changes: Sequence[Changes], *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli.output import plan_text
    from poller.query.plan import capacity_plan, plan_fields

    async with open_app(settings, name="poller plan") as app:
        found = await capacity_plan(app.database, settings, changes, app.database.clock.now())
    if as_json:
        terminal.out(json_text(plan_fields(found)))
        return
    terminal.begin_listing()
    terminal.show(plan_text.groups_table(found.plan))
    if found.changed is not None:
        terminal.out("")
        terminal.show(plan_text.comparison(found.now, found.changed))
    terminal.out("")
    for line in plan_text.sentences(found):
        terminal.out_wrapped(line, plan_text.HANG)
    terminal.out("")
    for line in plan_text.figures(found.figures):
        terminal.out_wrapped(line, plan_text.HANG)
