"""`poller orgs …`: who is polled. Secrets are prompted for or read from standard input, never from the arguments."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import answers, check, grant_codes, org_facts, shell
from poller.core.entry import GRANTS, entry_from
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from poller.core.entry import OrgEntry
    from poller.settings import Settings
    from poller.store.imports import ImportResult
    from poller.store.orgs import OrgRecord

orgs = typer.Typer(
    name="orgs",
    help="""Say which orgs are polled.

    Example: [bold]poller orgs import orgs.csv[/bold]""",
    no_args_is_help=True,
)

Names = Annotated[list[str], typer.Argument(metavar="ORG...", help="Names of orgs.")]


def add_to(app: typer.Typer) -> None:
    """Make the commands known."""
    check.add_to(orgs)
    app.add_typer(orgs)


@orgs.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON; - is standard input.")],
    *,
    name: Annotated[str | None, typer.Option(help="Of the org, where the file names none.")] = None,
    data_center: Annotated[str | None, typer.Option(help="Of orgs for which the file names none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what would change.")] = False,
) -> None:
    """Add and change orgs, by name: all of the file's or, if one row is wrong, none.

    Columns: name, data_center, client_id, client_secret and one of refresh_token, grant_code, soid; optional: zgid,
    edition, licences, poll_interval, api_version, tags. A second import changes only what differs. A grant_code is
    exchanged at once, for it lives for minutes; Zoho takes ten of a client in ten minutes. Exit 1 if one was lost.
    JSON is a list of objects or one object a line; the self_client.json of Zoho's console needs --name and
    --data-center.

    Example: [bold]poller orgs import orgs.csv --dry-run[/bold]
    """
    settings = shell.settings()
    from poller.orgfile import read_org_file

    defaults = {field: text for field, text in (("name", name), ("data_center", data_center)) if text}
    entries, bad = read_org_file(file, settings.data_centers, defaults)
    if bad:
        source = "standard input" if str(file) == "-" else str(file)
        for message in bad.messages():
            shell.say(f"{source}: {message}")
        rows = "1 row is" if len(bad) == 1 else f"{len(bad):,} rows are"
        shell.say(f"poller: {rows} wrong, so nothing is imported; fix {source} and import it again")
        raise typer.Exit(1)
    verb = "would be " if dry_run else ""

    def tell(result: ImportResult) -> None:
        counts = f"{result.added:,} {verb}added, {result.changed:,} changed, {result.unchanged:,} same"
        shell.tell(f"{_orgs(len(entries))}: {counts}.")

    if not shell.run(_import(settings, entries, tell, dry_run=dry_run)):
        raise typer.Exit(1)


@orgs.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call the org.")],
    *,
    data_center: Annotated[str | None, typer.Option(help="us, eu, in, au, jp, ca, sa, cn, uk, ae or your own.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Of the client in Zoho's API console.")] = None,
    grant: Annotated[str, typer.Option(help="Which credential follows: refresh_token, grant_code or soid.")] = GRANTS[
        0
    ],
    soid: Annotated[str | None, typer.Option(help="ZohoCRM.<zgid>, for client credentials.")] = None,
    zgid: Annotated[str | None, typer.Option(help="Zoho's number of the org.")] = None,
    edition: Annotated[str | None, typer.Option(help="Learned from Zoho where left out.")] = None,
    licences: Annotated[str | None, typer.Option(help="Learned from Zoho where left out.")] = None,
    poll_interval: Annotated[str | None, typer.Option(help="Such as 5m; POLLER_POLL_INTERVAL where left out.")] = None,
    api_version: Annotated[str | None, typer.Option(help="Such as v8; POLLER_API_VERSION where left out.")] = None,
    tags: Annotated[str | None, typer.Option(help="With commas between them.")] = None,
) -> None:
    """Add one org. Secrets are asked for, without echo; or piped in as lines of KEY=VALUE.

    Example: [bold]poller orgs add Acme --data-center eu --client-id 1000.ABC < acme.secrets[/bold], with lines
    client_secret=… and refresh_token=…
    """
    if grant not in GRANTS:
        raise UsageError(f"--grant {grant} is no credential", f"use one of {', '.join(GRANTS)}")
    settings = shell.settings()
    given = {
        "name": name,
        "data_center": data_center,
        "client_id": client_id,
        "soid": soid,
        "zgid": zgid,
        "edition": edition,
        "licences": licences,
        "poll_interval": poll_interval,
        "api_version": api_version,
        "tags": tags,
    }
    secrets = (
        answers.prompted(given, "soid" if soid else grant) if sys.stdin.isatty() else answers.piped(sys.stdin.read())
    )
    entry = entry_from({**given, **secrets}, settings.data_centers)
    if isinstance(entry, list):
        raise UsageError(f"the org cannot be added: {'; '.join(entry)}", "see `poller orgs add --help`")

    def tell(_: ImportResult) -> None:
        shell.tell(f"{entry.name} is added; `poller poll` asks it for the first time.")

    if not shell.run(_import(settings, [entry], tell, new=True)):
        raise typer.Exit(1)


@orgs.command("list")
def list_orgs(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
) -> None:
    """List every org, by name.

    Example: [bold]poller orgs list --json | jq -r 'select(.state != "active").org'[/bold]
    """
    shell.run(_list(shell.settings(), as_json=as_json))


@orgs.command()
def show(
    org: Annotated[str, typer.Argument(metavar="ORG", help="Its name.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
) -> None:
    """Show what is known of one org, and how often it can be polled; no secret.

    Example: [bold]poller orgs show "Acme Ltd"[/bold]
    """
    settings = shell.settings()
    if as_json:
        (record,) = shell.run(_find(settings, [org]))
        shell.tell(org_facts.as_json(record, settings))
        return
    from poller.cli import render

    facts = shell.run(_facts(settings, org))
    for line in render.facts(facts):
        shell.tell_folded(line, max(map(len, facts)) + 2)


@orgs.command()
def pause(names: Names) -> None:
    """Poll these no more, until they are resumed. What is known stays.

    Example: [bold]poller orgs pause "Acme Ltd"[/bold]
    """
    from poller.store import orgs as store

    count = shell.run(_change(shell.settings(), lambda database: store.pause(database, names, _now())))
    shell.tell(f"{_orgs(count)} paused.")


@orgs.command()
def resume(names: Names) -> None:
    """Poll these again: paused ones, and parked ones that were mended.

    Example: [bold]poller orgs resume "Acme Ltd"[/bold]
    """
    from poller.store import orgs as store

    count = shell.run(_change(shell.settings(), lambda database: store.resume(database, names, _now())))
    shell.tell(f"{_orgs(count)} resumed.")


@orgs.command()
def remove(
    names: Names,
    purge: Annotated[bool, typer.Option("--purge", help="Their history as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget the credentials of these, for good; their history stays, unless purged.

    Example: [bold]poller orgs remove "Acme Ltd" --purge[/bold]
    """
    settings = shell.settings()
    what = "all that is known of" if purge else "the credentials of"
    if not yes:
        if not purge:
            shell.run(_find(settings, names))
        if not sys.stdin.isatty():
            raise UsageError("there is nobody to ask", "say --yes")
        if not typer.confirm(f"Forget {what} {', '.join(names)}?", err=True):
            raise typer.Exit(1)
    from poller.store import orgs as store

    count = shell.run(
        _change(
            settings,
            lambda database: store.purge(database, names) if purge else store.remove(database, names, _now()),
        )
    )
    shell.tell(f"{_orgs(count)} {'purged' if purge else 'removed'}.")


async def _import(
    settings: Settings,
    entries: Sequence[OrgEntry],
    tell: Callable[[ImportResult], None],
    *,
    dry_run: bool = False,
    new: bool = False,
) -> bool:
    """Bring them in, with `new` only if none is there, and exchange their grant codes. Whether no code was lost."""
    from poller.app import open_app
    from poller.store.imports import import_orgs

    async with open_app(settings, name="poller orgs") as app:
        if new and (await import_orgs(app.database, app.keyring, entries, dry_run=True)).added < len(entries):
            raise UsageError(f"there is an org {entries[0].name!r} already", "change it with `poller orgs import`")
        with shell.progress() as progress:
            task = progress.add_task("importing", total=len(entries))
            result = await import_orgs(
                app.database,
                app.keyring,
                entries,
                dry_run=dry_run,
                progress=lambda done: progress.update(task, completed=done),
            )
        tell(result)
        if dry_run:
            return True
        await grant_codes.warn_of_crowds(app, {entry.client_id for entry in entries})
        with_codes = [entry.name for entry in entries if entry.grant_code is not None]
        done = await grant_codes.exchange(app, with_codes) if with_codes else []
        return all(one.refusal is None for one in done)


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli import render
    from poller.store.orgs import stream_orgs

    async with open_app(settings, name="poller orgs") as app:
        if as_json:
            async for record in stream_orgs(app.database):
                shell.tell(org_facts.as_json(record, settings))
            return
        records = [record async for record in stream_orgs(app.database)]
    if records:
        shell.show(render.org_table(records))
    else:
        shell.say("There is no org yet; `poller orgs import FILE` brings some in.")


async def _find(settings: Settings, names: Sequence[str]) -> list[OrgRecord]:
    from poller.app import open_app
    from poller.store.orgs import find_orgs

    async with open_app(settings, name="poller orgs") as app:
        return await find_orgs(app.database, names)


async def _facts(settings: Settings, name: str) -> dict[str, str]:
    from poller.app import open_app
    from poller.store.orgs import find_orgs
    from poller.store.pollable import read_pollable

    async with open_app(settings, name="poller orgs") as app:
        (record,) = await find_orgs(app.database, [name])
        (pollable,) = await read_pollable(
            app.database,
            [record.id],
            now=_now(),
            api_version=settings.api_version,
            interval_seconds=settings.poll_interval_seconds,
        )
    return org_facts.for_people(record, settings, pollable)


async def _change(settings: Settings, change: Callable[[Any], Awaitable[int]]) -> int:
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        return await change(app.database)


def _orgs(count: int) -> str:
    return "1 org" if count == 1 else f"{count:,} orgs"


def _now() -> datetime:
    return datetime.now(UTC)
