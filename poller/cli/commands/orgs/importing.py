"""`poller orgs import` and `poller orgs add`: orgs with their credentials."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.commands.orgs.grant_codes import exchange_codes
from poller.cli.output import prompts, terminal
from poller.core.errors import UsageError
from poller.core.org_entry import GRANTS, entry_from
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from poller.core.org_changes import ImportResult, OrgChange
    from poller.core.org_entry import OrgEntry
    from poller.settings import Settings

_GRANT: Final = GRANTS[0]


def add_to(orgs: typer.Typer) -> None:
    """Adds the commands to `poller orgs`."""
    orgs.command("import")(import_file)
    orgs.command("add")(add)


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON; - is standard input.")],
    *,
    name: Annotated[str | None, typer.Option(help="Of the org, where the file names none.")] = None,
    data_center: Annotated[str | None, typer.Option(help="Of orgs for which the file names none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what would change.")] = False,
) -> None:
    """Add and change orgs, by name: all of the file's or, if one row is wrong, none.

    Columns: name, data_center, client_id, client_secret and one of refresh_token, grant_code, soid; optional: zgid,
    edition, licences, poll_interval, api_version, tags, and what the contract says: seats, price (of a seat and month),
    currency, renews_on. A second import changes only what differs: an empty value clears any of these but zgid, an
    absent column leaves them as they are. A grant_code is exchanged at once, because it expires within minutes; Zoho
    takes ten of a client in ten minutes. Exit 1 if one was lost, 2 if a row is wrong.
    JSON is a list of objects, or one object per line; the self_client.json of Zoho's console needs --name and
    --data-center.

    Example: [bold]poller orgs import orgs.csv --dry-run[/bold]
    """
    settings = terminal.settings()
    from poller.onboarding.org_file import read_org_file

    defaults = {field: text for field, text in (("name", name), ("data_center", data_center)) if text}
    entries, bad = read_org_file(file, settings.data_centers, defaults)
    if bad:
        source = "standard input" if str(file) == "-" else str(file)
        for message in bad.messages():
            terminal.err(f"{source}: {message}")
        rows = count(len(bad), "row is", "rows are")
        terminal.err(f"poller: {rows} wrong, so nothing is imported; fix {source} and import it again")
        raise typer.Exit(2)
    verb = "would be " if dry_run else ""

    def tell(result: ImportResult) -> None:
        counts = f"{result.added:,} {verb}added, {result.changed:,} changed, {result.unchanged:,} same"
        restored = f", {result.restored:,} restored with their history" if result.restored else ""
        terminal.say(f"{count(len(entries), 'org')}: {counts}{restored}.")

    if not terminal.run(_import(settings, entries, tell, dry_run=dry_run, each=_tell_change if dry_run else None)):
        raise typer.Exit(1)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call the org.")],
    *,
    data_center: Annotated[str | None, typer.Option(help="us, eu, in, au, jp, ca, sa, cn, uk, ae or your own.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Of the client in Zoho's API console.")] = None,
    grant: Annotated[str, typer.Option(help="Which credential follows: refresh_token, grant_code or soid.")] = _GRANT,
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
    settings = terminal.settings()
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
    entry = _entry(settings, given, "soid" if soid else grant)

    def tell(_: ImportResult) -> None:
        terminal.say(f"{entry.name} is added; `poller poll` asks it for the first time.")

    if not terminal.run(_import(settings, [entry], tell, new=True)):
        raise typer.Exit(1)


def _entry(settings: Settings, given: Mapping[str, str | None], grant: str) -> OrgEntry:
    """The org of these options and of the secrets from the terminal or the pipe."""
    if grant not in GRANTS:
        raise UsageError(f"--grant {grant} is not a kind of credential", f"use one of {', '.join(GRANTS)}")
    secrets = prompts.prompted(given, grant) if sys.stdin.isatty() else prompts.piped(sys.stdin.read())
    # An option that is left out changes nothing; an empty one clears the field.
    written = {field: value for field, value in {**given, **secrets}.items() if value is not None}
    entry = entry_from(written, settings.data_centers)
    if isinstance(entry, list):
        raise UsageError(f"the org cannot be added: {'; '.join(entry)}", "see `poller orgs add --help`")
    return entry


def _tell_change(change: OrgChange) -> None:
    """Prints what would change about an org that exists; new orgs are only counted."""
    from poller.cli.output.render import plain

    if change.what == "added":
        return
    fields = f": {', '.join(change.fields)}" if change.fields else ""
    terminal.say(f"{plain(change.org)} would be {change.what}{fields}")


async def _import(
    settings: Settings,
    entries: Sequence[OrgEntry],
    tell: Callable[[ImportResult], None],
    *,
    dry_run: bool = False,
    new: bool = False,
    each: Callable[[OrgChange], None] | None = None,
) -> bool:
    """Imports orgs and exchanges their grant codes. With `new`, fails if one is there. False if a code was lost."""
    from poller.app import open_app
    from poller.onboarding.importing import import_entries, refuse_existing, warnings_after_import

    async with open_app(settings, name="poller orgs", create=not dry_run) as app:
        if new:
            await refuse_existing(app.database, entries[0].name)
        with terminal.progress() as progress:
            task = progress.add_task("importing", total=len(entries))
            result = await import_entries(
                app.database,
                app.keyring,
                entries,
                dry_run=dry_run,
                progress=lambda done: progress.update(task, completed=done),
                on_change=each or (lambda _change: None),
            )
        tell(result)
        if dry_run:
            return True
        for warning in await warnings_after_import(app.database, entries):
            terminal.err(f"poller: warning: {warning}")
        with_codes = [entry.name for entry in entries if entry.grant_code is not None]
        done = await exchange_codes(app, with_codes) if with_codes else []
        return all(one.refusal is None for one in done)
