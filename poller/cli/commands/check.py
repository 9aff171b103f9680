"""`poller orgs check`: whether orgs can be polled, proven by live calls, and what to mend where they cannot."""

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
    from collections.abc import AsyncIterator, Callable, Sequence

    from poller.app import App, Zoho
    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.store.orgs.poll_state import PollableOrg
    from poller.zoho.org_check import OrgCheck
    from poller.zoho.token_request import NoToken

AT_ONCE: Final = 16
CREDITS: Final = 3
"""The most a check asks of the API."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("check")(check)


def check(
    orgs: Names = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """Prove data centre, credentials, API access and scopes with live calls, and say what to fix and where.

    Grant codes that still wait are exchanged on the way; what Zoho says of an org's edition is kept; a parked org
    that is OK again is polled again. Exit 1 if anything failed.

    Example: [bold]poller orgs check "Acme Ltd"[/bold]
    """
    standings = terminal.run(_check(terminal.settings(), selection(orgs, tags, states, data_centers), as_json=as_json))
    if standings.total() != standings[True]:
        raise typer.Exit(1)


async def _check(settings: Settings, chosen: Selection, *, as_json: bool) -> Counter[bool]:
    from poller.app import open_app, open_zoho
    from poller.cli import grant_codes
    from poller.store.orgs.orgs import count_orgs

    standings: Counter[bool] = Counter()
    async with open_app(settings, name="poller orgs check") as app:
        names = await chosen.pollable(app.database)
        total = await count_orgs(app.database) if names is None else len(names)
        exchanged = await grant_codes.exchange(app, names)
        refused = {one.org.id: one.refusal for one in exchanged if one.refusal is not None}
        with terminal.progress() as progress:
            task = progress.add_task("checking", total=total)

            def told(found: OrgCheck) -> None:
                standings[found.ok] += 1
                if as_json:
                    terminal.tell(as_line(found))
                else:
                    for line in for_people(found):
                        terminal.tell_folded(line, 6)
                progress.advance(task)

            async with open_zoho(app) as zoho:
                await check_all(app, zoho, names, told, refused)
    if not as_json:
        terminal.tell(_summary(standings))
    return standings


async def check_all(
    app: App,
    zoho: Zoho,
    names: Sequence[str] | None,
    told: Callable[[OrgCheck], None],
    refused: dict[int, NoToken] | None = None,
) -> None:
    """Check these orgs, or every active one, side by side; `refused` are those whose grant code was just lost."""
    from poller.polling.bounded import for_each
    from poller.store.orgs.poll_state import pages_of_active

    async def orgs() -> AsyncIterator[PollableOrg]:
        pages = pages_of_active(
            app.database,
            names,
            now=zoho.now(),
            api_version=app.settings.api_version,
            interval_seconds=app.settings.poll_interval_seconds,
        )
        async for page in pages:
            for pollable in page:
                yield pollable

    async def check_one(pollable: PollableOrg) -> None:
        told(await _check_one(app, zoho, pollable, (refused or {}).get(pollable.org.id)))

    await for_each(orgs(), check_one, at_once=AT_ONCE)


async def _check_one(app: App, zoho: Zoho, pollable: PollableOrg, refusal: NoToken | None) -> OrgCheck:
    from poller.core.another_org import is_another_org
    from poller.core.rate_limit import limits_of
    from poller.store.orgs import credits as credit_store, parking
    from poller.store.orgs.another_org import park_as_another_org
    from poller.store.orgs.changes import update_org_info
    from poller.zoho.org_check import Check, check_org
    from poller.zoho.org_requests import CheckPorts

    org = pollable.org
    ports = CheckPorts(zoho.tokens, zoho.client.count, zoho.client.get, zoho.now)
    await credit_store.spend(app.database, {org.id: CREDITS}, zoho.now())
    limits = limits_of(org.edition, app.settings.in_flight_share)
    with zoho.limiter.org(org.id, limits, pollable.quota, data_center=org.data_center) as limiter:
        found = await check_org(org, limiter, ports, refusal=refusal)
    if (facts := found.info) is not None and facts.zgid and is_another_org(org.zgid, facts.zgid):
        await park_as_another_org(app.database, org, facts.zgid, zoho.now())
        return found
    if facts is not None:
        await update_org_info(
            app.database, org.id, zoho.now(), zgid=facts.zgid, edition=facts.edition, licences=facts.licences
        )
    if found.status(Check.USERS) is CheckStatus.OK:
        await parking.unpark(app.database, org.id)
    return found


_STATUS_NAMES: Final = {
    CheckStatus.OK: "ok",
    CheckStatus.WARNING: "warning",
    CheckStatus.WRONG: "fault",
    CheckStatus.UNKNOWN: "unknown",
}
"""The words of this command; its JSON is read by scripts."""


def for_people(found: OrgCheck) -> list[str]:
    """One line if every check is ok, else a line for each check and for each remedy."""
    from poller.cli.output.render import plain

    name = plain(found.org.name)
    if found.ok:
        return [f"{name}: OK"]
    lines = [f"{name}:"]
    for result in found.results:
        lines.append(f"  {result.check:<22}  {_STATUS_NAMES[result.status]}  {plain(result.what)}".rstrip())
        if result.remedy and result.status is not CheckStatus.OK:
            lines.append(f"      {result.remedy}")
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


def _summary(standings: Counter[bool]) -> str:
    total = standings.total()
    return f"{count(total, 'org')}: {standings[True]:,} OK, {standings[False]:,} failed"
