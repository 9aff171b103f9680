"""`poller orgs check`: checks with live calls whether orgs can be polled, and says what to fix."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.options.orgs import DataCenters, Names, States, Tags, selection
from poller.cli.output import terminal
from poller.core.checks import CheckStatus
from poller.core.quantities import count

if TYPE_CHECKING:
    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.zoho.org_check import OrgCheck


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check")(check)


def check(
    orgs: Names = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """Check data centre, credentials, API access and scopes with live calls, and say what to fix and where.

    Grant codes that were not exchanged yet are exchanged first. The edition that Zoho names is stored, and a parked org
    that works again is polled again. Exit 1 if anything failed.

    Example: [bold]poller orgs check "Acme Ltd"[/bold]
    """
    totals = terminal.run(_check(terminal.settings(), selection(orgs, tags, states, data_centers), as_json=as_json))
    if totals[False]:
        raise typer.Exit(1)


async def _check(settings: Settings, chosen: Selection, *, as_json: bool) -> Counter[bool]:
    """Orgs that are OK (True) and that are not (False)."""
    from poller.app import open_app, open_zoho
    from poller.cli.commands.orgs.grant_codes import exchange_codes
    from poller.onboarding.checks import check_orgs
    from poller.onboarding.context import OnboardingContext
    from poller.query.org import count_pollable

    totals: Counter[bool] = Counter()
    async with open_app(settings, name="poller orgs check") as app:
        names = await chosen.pollable(app.database)
        total = await count_pollable(app.database, names)
        exchanged = await exchange_codes(app, names)
        refused = {one.org.id: one.refusal for one in exchanged if one.refusal is not None}
        with terminal.progress() as progress:
            task = progress.add_task("checking", total=total)

            def show(found: OrgCheck) -> None:
                totals[found.ok] += 1
                if as_json:
                    terminal.out(as_line(found))
                else:
                    for line, verdict in for_people(found):
                        terminal.out_wrapped(line, 6, verdict)
                progress.advance(task)

            async with open_zoho(app) as zoho:
                context = OnboardingContext(app.database, app.keyring, settings, zoho)
                await check_orgs(context, names, show, refused)
    if not as_json:
        terminal.say(f"{count(totals.total(), 'org')}: {totals[True]:,} OK, {totals[False]:,} failed")
    return totals


_STATUS_NAMES: Final = {
    CheckStatus.OK: "ok",
    CheckStatus.WARNING: "warning",
    CheckStatus.WRONG: "fault",
    CheckStatus.UNKNOWN: "unknown",
}
"""The words of this command; its JSON is read by scripts."""


def for_people(found: OrgCheck) -> list[tuple[str, str]]:
    """One line if every check is ok, else a line for each check and for each remedy; each with its verdict."""
    from poller.cli.output.render import plain

    name = plain(found.org.name)
    if found.ok:
        return [(f"{name}: OK", "OK")]
    lines = [(f"{name}:", "")]
    for result in found.results:
        verdict = _STATUS_NAMES[result.status]
        lines.append((f"  {result.check:<22}  {verdict}  {plain(result.what)}".rstrip(), verdict))
        if result.remedy and result.status is not CheckStatus.OK:
            lines.append((f"      {result.remedy}", ""))
    return lines


def as_line(found: OrgCheck) -> str:
    """One line of `poller orgs check --json`."""
    info = found.info
    return json.dumps(
        {
            "org": found.org.name,
            "ok": found.ok,
            "findings": {
                str(result.check): {
                    "standing": _STATUS_NAMES[result.status],
                    "code": result.what or None,
                    "remedy": result.remedy or None,
                }
                for result in found.results
            },
            "edition": info.edition if info else None,
            "licences": info.licences if info else None,
        },
        ensure_ascii=False,
    )
