"""`poller audit`: who changed or saw what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal

if TYPE_CHECKING:
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("audit")(audit)


def audit(
    since: Annotated[str, typer.Option(help="How far back, such as 7d, or a day, such as 2026-11-01.")] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and entry.")] = False,
) -> None:
    """Show who changed or saw what, the newest first: log-ins, refused ones, writes, exports, keys, orgs looked at.

    Entries are kept for a year and cannot be changed.

    Example: [bold]poller audit --since 30d --json[/bold]
    """
    terminal.run(_audit(terminal.settings(), since, as_json=as_json))


async def _audit(settings: Settings, since: str, *, as_json: bool) -> None:
    from zoneinfo import ZoneInfo

    from poller.app import open_app
    from poller.cli.output.table import Table
    from poller.query.audit import audit_entries, audit_facts
    from poller.query.parameters import since_of
    from poller.query.rows import json_text

    async with open_app(settings, name="poller audit") as app:
        found = await audit_entries(app.database, since_of(since, app.database.clock.now(), ZoneInfo("UTC")))
    table = Table(
        ("at", "caller", "source", "action", "org", "detail"), spare=("source",), below="detail", whole=("at",)
    )
    for entry in found:
        if as_json:
            terminal.out(json_text(audit_facts(entry)))
        org = "" if entry.org_id is None else entry.org or f"purged org {entry.org_id}"
        detail = "" if entry.detail is None else json_text(entry.detail)
        table.rows.append((f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.caller, entry.source, entry.action, org, detail))
    if not as_json and not found:
        terminal.err("Nothing was noted in that time.")
    elif not as_json:
        terminal.begin_listing()
        terminal.show(table)
