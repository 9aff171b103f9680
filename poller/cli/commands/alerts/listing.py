"""`poller alerts list` and `poller alerts history`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.orgs import DataCenters, Names, Tags, parts, selection
from poller.cli.output import terminal
from poller.core.alerts import LARGEST_ALERT, AlertFilter, AlertState, Severity
from poller.core.errors import UsageError
from poller.core.states import State
from poller.query.parameters import Since
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from poller.core.alerts import Alert
    from poller.query.selection import Selection
    from poller.settings import Settings

States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help=f"Only alerts in this state: {', '.join(AlertState)}; or of orgs in this state: {', '.join(State)}.",
    ),
]
RuleNames = Annotated[
    list[str] | None, typer.Option("--rule", metavar="NAME", help="Only of this rule, or of several.")
]
Severities = Annotated[
    list[Severity] | None, typer.Option("--severity", metavar="S", help=f"Only {', '.join(Severity)}; or several.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
_MOST_REMEDIES: Final = 10
_MOST_CHANGES: Final = 10_000


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `poller alerts`."""
    app.command("list")(list_alerts)
    app.command("history")(history)


def list_alerts(
    orgs: Names = None,
    *,
    as_json: AsJson = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    rules: RuleNames = None,
    severities: Severities = None,
) -> None:
    """Show alerts: those that fire first, then by severity, the newest first; and those resolved within a day.

    --state resolved shows all that are over. A number in the first column is the ID for ack, snooze and history.

    Example: [bold]poller alerts --state firing --tag gold[/bold]
    """
    of_alerts, of_orgs = split_states(states)
    chosen = selection(orgs, tags, of_orgs, data_centers)
    which = AlertFilter(states=of_alerts, rules=tuple(rules or ()), severities=tuple(severities or ()))
    terminal.run(_list(terminal.settings(), chosen, which, as_json=as_json))


def history(
    alert_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=LARGEST_ALERT, help="Of one alert; all if none.")
    ] = None,
    *,
    since: Annotated[str, typer.Option(help="How far back (7d, 12w, 1y), or a day (2026-01-31).")] = "30d",
    org: Annotated[list[str] | None, typer.Option(metavar="ORG", help="Only of this org, or of several.")] = None,
    as_json: AsJson = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
) -> None:
    """Show how alerts changed: when each fired, was acknowledged, snoozed or resolved, by whom and why.

    Example: [bold]poller alerts history 17[/bold]
    """
    of_alerts, of_orgs = split_states(states)
    chosen = selection(org, tags, of_orgs, data_centers)
    terminal.run(_history(terminal.settings(), alert_id, chosen, Since(since), of_alerts, as_json=as_json))


def split_states(given: list[str] | None) -> tuple[tuple[AlertState, ...], list[str]]:
    """The states of alerts and those of orgs among the values of --state."""
    texts = dict.fromkeys(part.lower() for part in parts(given, "--state"))
    of_alerts = tuple(AlertState(text) for text in texts if text in set(AlertState))
    of_orgs = [text for text in texts if text not in set(AlertState)]
    if unknown := [text for text in of_orgs if text.replace("-", "_") not in set(State)]:
        known = ", ".join([*AlertState, *State])
        raise UsageError(f"--state {unknown[0]}: there is no such state", f"use one of {known}")
    return of_alerts, of_orgs


async def _list(settings: Settings, chosen: Selection, which: AlertFilter, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.query.alert_rules import find_rule
    from poller.query.alerts import current_alerts

    async with open_app(settings, name="poller alerts") as app:
        for rule in which.rules:
            await find_rule(app.database, rule, removed=True)
        now = app.database.clock.now()
        org_ids = await chosen.ids(app.database, removed=True)
        found = await current_alerts(app.database, replace(which, org_ids=org_ids), now)
    if as_json:
        for alert in found:
            terminal.write(json_text(alert.fields()))
        return
    _show(found, now)


def _show(found: Sequence[Alert], now: datetime) -> None:
    from poller.cli.output.render import plain
    from poller.cli.output.table import Table
    from poller.core.quantities import age_of

    if not found:
        terminal.say("no alerts")
        return
    table = Table(
        ("id", "state", "severity", "rule", "since", "org", "what"),
        right=("id",),
        spare=("severity", "rule"),
        below="what",
        whole=("since",),
        verdicts=("state", "severity"),
    )
    for one in found:
        state = one.state.value if one.snoozed_until is None else f"snoozed until {one.snoozed_until:%Y-%m-%d %H:%M}"
        state += "" if one.unknown_since is None else ", unknown"
        age = f"{age_of(now - one.since)} ago"
        org = plain(one.org or one.subject or "")
        table.rows.append((str(one.id), state, one.severity.value, one.rule, age, org, plain(one.message)))
    terminal.begin_listing()
    terminal.show(table)
    for line in _remedies(one for one in found if one.state is AlertState.FIRING):
        terminal.out_wrapped(line, 2)


def _remedies(firing: Iterable[Alert]) -> list[str]:
    """What to do about alerts that fire, each remedy once."""
    from poller.cli.output.render import plain

    by_remedy: dict[tuple[str, str], list[int]] = {}
    for one in firing:
        by_remedy.setdefault((one.rule, one.remedy), []).append(one.id)
    lines = [
        f"{rule} ({ids[0]}{f' and {len(ids) - 1:,} more' if len(ids) > 1 else ''}): {plain(remedy)}"
        for (rule, remedy), ids in by_remedy.items()
    ]
    more = len(lines) - _MOST_REMEDIES
    return [*lines[:_MOST_REMEDIES], *([f"and {more:,} more remedies: `poller alerts --json`"] if more > 0 else [])]


async def _history(
    settings: Settings,
    alert_id: int | None,
    chosen: Selection,
    begin: Since,
    to_states: Sequence[AlertState],
    *,
    as_json: bool,
) -> None:
    from poller.app import open_app
    from poller.cli.output.render import plain
    from poller.cli.output.table import Table
    from poller.query.alerts import alert_history, change_fields, find_alert

    async with open_app(settings, name="poller alerts") as app:
        if alert_id is not None:
            await find_alert(app.database, alert_id, None)
        since = begin.at(app.database.clock.now())
        org_ids = await chosen.ids(app.database, removed=True)
        found = await alert_history(app.database, alert_id, since, org_ids=org_ids, limit=_MOST_CHANGES)
    headings = ("at", "id", "rule", "org", "was", "is", "by", "why")
    table = Table(
        headings, right=("id",), spare=("was", "by", "rule"), below="why", whole=("at", "is"), verdicts=("was", "is")
    )
    shown = [one for one in found if not to_states or one.to_state in to_states]
    for one in shown:
        if as_json:
            terminal.write(json_text(change_fields(one)))
        states = ("new" if one.from_state is None else one.from_state.value), one.to_state.value
        names = one.rule, plain(one.org or "")
        table.rows.append(
            (f"{one.at:%Y-%m-%d %H:%M}", str(one.alert_id), *names, *states, plain(one.by), plain(one.detail))
        )
    if not as_json and not shown:
        terminal.say(f"no alert changed since {since:%Y-%m-%d %H:%M}")
    elif not as_json:
        terminal.begin_listing()
        terminal.show(table)
    if len(found) == _MOST_CHANGES:
        terminal.err(f"The last {_MOST_CHANGES:,} changes; give --since or an ID for others.")
