"""`poller orgs …`: which orgs are polled. Secrets come from a prompt or standard input, never from the arguments."""

from __future__ import annotations

import typer

from poller.cli.commands import check
from poller.cli.commands.orgs import changing, importing, listing

orgs = typer.Typer(
    name="orgs",
    help="""Say which orgs are polled.

    Example: [bold]poller orgs import orgs.csv[/bold]""",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for family in (importing, listing, check, changing):
        family.add_to(orgs)
    app.add_typer(orgs)
