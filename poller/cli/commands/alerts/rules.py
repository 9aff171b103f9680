"""`poller alerts rules list`, `test` and `exclusions`: what the rules are, and what they would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.commands.alerts.rule_text import condition_of, show_trial
from poller.cli.output import terminal
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.cli.output.table import Table
    from poller.core.alerts import Exclusion
    from poller.query.alert_rules import DescribedRule
    from poller.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `poller alerts rules`."""
    app.command("list")(list_rules)
    app.command("test")(try_rule)
    app.command("exclusions")(list_exclusions)


def list_rules(*, as_json: AsJson = False) -> None:
    """Show the rules: what each watches, when it fires, how urgent it is, and where its messages go.

    Example: [bold]poller alerts rules list[/bold]
    """
    terminal.run(_list(terminal.settings(), as_json=as_json))


def try_rule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the rule.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show for which orgs a rule holds now, and which alerts it would have raised in the last 30 days.

    Nothing is stored, and no message is sent.

    Example: [bold]poller alerts rules test seats_used[/bold]
    """
    terminal.run(_try(terminal.settings(), name, as_json=as_json))


def list_exclusions(*, as_json: AsJson = False) -> None:
    """Show what is excluded from the rules, why, by whom and until when.

    Example: [bold]poller alerts rules exclusions --json[/bold]
    """
    terminal.run(_exclusions(terminal.settings(), as_json=as_json))


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.alert_rules import described_rules

    async with open_app(settings, name="poller alerts") as app:
        found = await described_rules(app.database)
    if as_json:
        for one in found:
            terminal.write(json_text(one.fields()))
    else:
        _show(found, default=len(settings.notify_urls))


def _show(found: Sequence[DescribedRule], default: int) -> None:
    from poller.cli.output.render import plain
    from poller.cli.output.table import Table

    headings = ("rule", "fires when", "severity", "orgs", "messages to", "quiet")
    table = Table(headings, spare=("quiet", "messages to"), below="fires when", whole=("rule",), verdicts=("severity",))
    for one in found:
        to = ", ".join(one.to) or f"POLLER_NOTIFY_URLS ({default or 'not set here'})"
        quiet = one.rule.quiet
        hours = "" if quiet is None else f"{quiet.start:%H:%M}-{quiet.end:%H:%M} {quiet.zone}"
        condition = condition_of(one.rule) if one.rule.enabled else f"disabled: {condition_of(one.rule)}"
        table.rows.append((one.rule.name, condition, one.rule.severity.value, plain(one.whose()), to, hours))
    terminal.begin_listing()
    terminal.show(table)
    if any(not one.to for one in found) and not default:
        terminal.err(
            "POLLER_NOTIFY_URLS is not set here. If no worker has it, rules without an address of their own send no "
            "messages: set POLLER_NOTIFY_URLS, or --to."
        )


async def _try(settings: Settings, name: str, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.alert_trial import try_rule

    async with open_app(settings, name="poller alerts") as app:
        found = await try_rule(app.database, name, app.database.clock.now())
    if as_json:
        terminal.out(json_text(found.fields()))
    else:
        terminal.begin_listing()
        show_trial(found)


async def _exclusions(settings: Settings, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.alert_rules import all_exclusions, exclusion_fields

    async with open_app(settings, name="poller alerts") as app:
        found, now = await all_exclusions(app.database), app.database.clock.now()
    if as_json:
        for one in found:
            terminal.write(json_text(exclusion_fields(one)))
    elif not found:
        terminal.say("nothing is excluded")
    else:
        terminal.begin_listing()
        terminal.show(_table(found, now))


def _table(found: Sequence[Exclusion], now: datetime) -> Table:
    from poller.cli.output.render import plain
    from poller.cli.output.table import Table

    table = Table(
        ("rule", "org", "user type", "until", "by", "reason"), spare=("by",), below="reason", whole=("until",)
    )
    for one in found:
        over = one.until is not None and one.until <= now
        until = "for ever" if one.until is None else f"{one.until:%Y-%m-%d %H:%M}{' (over)' if over else ''}"
        subject = one.rule or "every rule", plain(one.org or "every org"), one.user_type or "all"
        table.rows.append((*subject, until, plain(one.created_by), plain(one.reason)))
    return table
