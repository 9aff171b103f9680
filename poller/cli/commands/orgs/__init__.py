"""`poller orgs …`: adds, lists, checks and changes orgs. No secret is an argument: they are asked for or piped in."""

from __future__ import annotations

import typer

from poller.cli.commands.orgs import changing, checking, importing, listing

orgs = typer.Typer(
    name="orgs",
    help="""Say which orgs are polled.

    Example: [bold]poller orgs import orgs.csv[/bold]""",
    no_args_is_help=True,
)

for _family in (importing, listing, checking, changing):
    _family.add_to(orgs)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(orgs)
