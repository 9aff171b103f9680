"""`poller alerts rules add`, `set`, `remove` and `exclude`, and how each is undone."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from poller.cli.options.addresses import given_addresses
from poller.cli.options.orgs import Tags, selection
from poller.cli.output import terminal
from poller.core.alert_rule_change import COMPARISONS, RuleChange
from poller.core.alerts import METRICS, Severity
from poller.core.callers import COMMAND_LINE
from poller.core.errors import UsageError
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from poller.app import App
    from poller.settings import Settings

T = TypeVar("T")

RuleName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the rule.")]
MetricName = Annotated[str | None, typer.Option(metavar="M", help=f"What is watched: {', '.join(METRICS)}.")]
Above = Annotated[str | None, typer.Option("--above", metavar="N", help="Fires above N.")]
AtLeast = Annotated[str | None, typer.Option("--at-least", metavar="N", help="Fires at N and above.")]
Below = Annotated[str | None, typer.Option("--below", metavar="N", help="Fires below N.")]
AtMost = Annotated[str | None, typer.Option("--at-most", metavar="N", help="Fires at N and below.")]
For = Annotated[str | None, typer.Option("--for", metavar="D", help="How long it must hold, such as 1h; 0: at once.")]
Clear = Annotated[
    str | None, typer.Option("--clear", metavar="D", help="How long it must be over before it is resolved: 30m.")
]
SeverityName = Annotated[Severity | None, typer.Option("--severity", help="How urgent it is.")]
Orgs = Annotated[list[str] | None, typer.Option("--org", metavar="ORG", help="Only this org, or several.")]
OrgTags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only orgs with this tag, or with one of several.")
]
Centers = Annotated[
    list[str] | None, typer.Option("--data-center", metavar="DC", help="Only orgs of this data centre, or of several.")
]
AllOrgs = Annotated[bool, typer.Option("--all-orgs", help="Every org: drops --org, --tag and --data-center.")]
To = Annotated[
    list[str] | None,
    typer.Option(
        "--to", metavar="URL", help="Where messages go, in place of before; - reads addresses from standard input."
    ),
]
ToFile = Annotated[
    Path | None, typer.Option("--to-file", metavar="FILE", help="The same, from a file with an address a line.")
]
ToDefault = Annotated[bool, typer.Option("--to-default", help="No own address: to those of POLLER_NOTIFY_URLS.")]
Quiet = Annotated[str | None, typer.Option(metavar="HOURS", help="Messages wait in these hours: 22:00-07:00, or none.")]
Zone = Annotated[str | None, typer.Option(metavar="ZONE", help="Whose hours: Europe/Berlin; UTC if none is given.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether the rule is evaluated.")]
Undo = Annotated[bool, typer.Option("--undo", help="Take it back.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `poller alerts rules`."""
    app.command("add")(add)
    app.command("set")(set_rule)
    app.command("remove")(remove)
    app.command("exclude")(exclude)


def add(
    name: RuleName,
    *,
    metric: MetricName = None,
    above: Above = None,
    at_least: AtLeast = None,
    below: Below = None,
    at_most: AtMost = None,
    hold_for: For = None,
    clear: Clear = None,
    severity: SeverityName = None,
    org: Orgs = None,
    tag: OrgTags = None,
    data_center: Centers = None,
    to: To = None,
    to_file: ToFile = None,
    quiet: Quiet = None,
    zone: Zone = None,
    enabled: Enabled = None,
) -> None:
    """Add a rule. It is a warning, and is resolved after 30m, unless you say otherwise; `remove` undoes it.

    Addresses are secrets: other users of this machine can read one that is an argument; - or --to-file is better.

    Example: [bold]poller alerts rules add many_admins --metric AdminUsers --above 10 --for 1h --tag gold[/bold]
    """
    change = _change_of(locals())
    from poller.admin.alert_rules import add_rule
    from poller.admin.writer import Writer

    rule = _apply(lambda app: add_rule(Writer(app.database, app.keyring), COMMAND_LINE, name, change))
    terminal.say(f"The rule {rule.name} is added; try it with `poller alerts rules test {rule.name}`.")


def set_rule(
    name: RuleName,
    *,
    metric: MetricName = None,
    above: Above = None,
    at_least: AtLeast = None,
    below: Below = None,
    at_most: AtMost = None,
    hold_for: For = None,
    clear: Clear = None,
    severity: SeverityName = None,
    org: Orgs = None,
    tag: OrgTags = None,
    data_center: Centers = None,
    all_orgs: AllOrgs = False,
    to: To = None,
    to_file: ToFile = None,
    to_default: ToDefault = False,
    quiet: Quiet = None,
    zone: Zone = None,
    enabled: Enabled = None,
) -> None:
    """Change what is given of a rule; the rest stays.

    Example: [bold]poller alerts rules set seats_used --at-least 90 --quiet 22:00-07:00 --zone Europe/Berlin[/bold]
    """
    change = _change_of(locals())
    if not change.given():
        raise UsageError("nothing to set", "see the options: `poller alerts rules set --help`")
    from poller.admin.alert_rules import change_rule
    from poller.admin.writer import Writer

    rule = _apply(lambda app: change_rule(Writer(app.database, app.keyring), COMMAND_LINE, name, change))
    terminal.say(f"The rule {rule.name} is changed.")


def remove(name: RuleName, *, undo: Undo = False) -> None:
    """Remove a rule; its open alerts are resolved, and its history stays. --undo brings it back.

    Example: [bold]poller alerts rules remove step[/bold]
    """
    from poller.admin.alert_rules import remove_rule, restore_rule

    change = restore_rule if undo else remove_rule
    _apply(lambda app: change(app.database, COMMAND_LINE, name))
    terminal.say(f"The rule {name} is {'back' if undo else 'removed; --undo brings it back'}.")


def exclude(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The rule; every rule if none.")] = None,
    *,
    org: Orgs = None,
    user_type: Annotated[str | None, typer.Option("--type", metavar="T", help="Only this user type.")] = None,
    tags: Tags = None,
    data_centers: Centers = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is shown with the exclusion.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: 30d, or 2026-12-31; for ever if none.")
    ] = None,
    undo: Undo = False,
) -> None:
    """Let a rule raise no alerts for orgs or a user type; reports still show them. --undo ends it.

    Orgs that get a tag later are not excluded.

    Example: [bold]poller alerts rules exclude step --org "Acme Ltd" --until 30d --reason "they reorganize"[/bold]
    """
    from poller.admin.alert_exclusions import ExcludedSubjects, exclude as exclude_subjects, include, no_such_exclusion
    from poller.query.parameters import later_time_of

    subjects = ExcludedSubjects(name, selection(org, tags, None, data_centers), user_type)

    async def change(app: App) -> int:
        if undo:
            ended = await include(app.database, COMMAND_LINE, subjects)
            if not ended.changed:
                raise no_such_exclusion()
            return len(ended.exclusions)
        end = None if until is None else later_time_of(until, app.database.clock.now(), UTC)
        stored = await exclude_subjects(app.database, COMMAND_LINE, subjects, reason=reason, until=end)
        return len(stored.exclusions)

    number = _apply(change)
    terminal.say(f"{count(number, 'exclusion')} {'ended' if undo else 'stored'}.")


def _change_of(options: Mapping[str, Any]) -> RuleChange:
    """The change in the options of `add` and `set`."""
    urls = given_addresses(options["to"], options["to_file"], "--to")
    all_orgs: list[str] | None = [] if options.get("all_orgs") else None
    comparison, threshold = _condition(options)
    return RuleChange(
        metric=options["metric"],
        comparison=comparison,
        threshold=threshold,
        hold_for=options["hold_for"],
        clear_after=options["clear"],
        severity=options["severity"],
        orgs=options["org"] or all_orgs,
        tags=options["tag"] or all_orgs,
        data_centers=options["data_center"] or all_orgs,
        quiet=options["quiet"],
        zone=options["zone"],
        enabled=options["enabled"],
        urls=urls or (() if options.get("to_default") else None),
    )


def _condition(options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The comparison and the threshold of the one option that is given."""
    found = [(sign, options[name]) for name, sign in COMPARISONS.items() if options[name] is not None]
    if len(found) > 1:
        raise UsageError("more than one threshold is given", "give one of --above, --at-least, --below and --at-most")
    return found[0] if found else (None, None)


def _apply(change: Callable[[App], Awaitable[T]]) -> T:
    return terminal.run(_change(terminal.settings(), change))


async def _change(settings: Settings, change: Callable[[App], Awaitable[T]]) -> T:
    from poller.app import open_app

    async with open_app(settings, name="poller alerts") as app:
        return await change(app)
