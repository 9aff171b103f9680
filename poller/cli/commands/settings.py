"""`poller settings`: the value of every setting, and where it is set."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.cli.output import terminal
from poller.cli.output.table import Table
from poller.query.rows import json_text


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("settings")(show_settings)


def show_settings(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and setting.")] = False
) -> None:
    """Show the value and the source of every setting. Secrets are masked.

    The first line names the database in use. Nothing is opened or created.

    Example: [bold]poller settings --json[/bold]
    """
    from poller.cli.output.render import plain
    from poller.settings.report import database_row, rows

    settings, sources = terminal.settings_and_sources()
    table = Table(["setting", "value", "from"], below="value", whole=("setting",))
    for row in (database_row(settings, sources), *rows(settings, sources)):
        if as_json:
            terminal.out(json_text({"name": row.name, "value": row.value, "from": row.origin}))
        else:
            table.rows.append([row.name, plain(row.value) or "-", plain(row.origin)])
    if not as_json:
        terminal.begin_listing()
        terminal.show(table)
