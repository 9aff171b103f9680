"""`poller orgs set`, `rename`, `pause`, `resume`, `remove` and `restore`: changes that need no secret."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from poller.cli.commands.orgs.settings import profile_change
from poller.cli.options.orgs import ChangedNames, DataCenters, States, Tags, required, selection
from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from poller.app import App
    from poller.query.selection import Selection
    from poller.settings import Settings

T = TypeVar("T")

AddedTags = Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="Add this tag; more than once.")]
RemovedTags = Annotated[list[str] | None, typer.Option("--untag", metavar="T", help="Remove this tag; more than once.")]
Tagged = Annotated[
    list[str] | None, typer.Option("--tagged", metavar="T", help="Only orgs with this tag; more than once: with all.")
]
PollInterval = Annotated[str | None, typer.Option(metavar="D", help="Such as 5m; `default`: that of the service.")]
Edition = Annotated[str | None, typer.Option(metavar="E", help="Such as enterprise; `learn`: ask Zoho again.")]
ApiVersion = Annotated[str | None, typer.Option(metavar="V", help="Such as v8; `default`: that of the service.")]
Zgid = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="The customer has moved to the Zoho org of this number; `learn`: that of the credentials."
    ),
]
_NAMED: Final = 10
_CREDENTIALS: Final = {"refresh_token": "a refresh token", "grant_code": "a grant code", "soid": "its soid"}


def add_to(orgs: typer.Typer) -> None:
    """Adds the commands to `poller orgs`."""
    commands: Mapping[str, Callable[..., None]] = {
        "set": set_orgs,
        "rename": rename,
        "pause": pause,
        "resume": resume,
        "remove": remove,
        "restore": restore,
    }
    for name, command in commands.items():
        orgs.command(name)(command)


def set_orgs(
    names: ChangedNames = None,
    *,
    tag: AddedTags = None,
    untag: RemovedTags = None,
    poll_interval: PollInterval = None,
    edition: Edition = None,
    licences: Annotated[str | None, typer.Option(metavar="N", help="A number; `learn`: ask Zoho again.")] = None,
    api_version: ApiVersion = None,
    zgid: Zgid = None,
    tagged: Tagged = None,
    states: States = None,
    data_centers: DataCenters = None,
) -> None:
    """Change settings and tags of orgs; no secret is needed.

    An edition or a number of licences that is set wins over Zoho's answer, until it is set to `learn`.
    --tagged, --state and --data-center select orgs; --tag adds a tag here.

    Example: [bold]poller orgs set "Acme Ltd" --tag customer:north --poll-interval 5m --edition learn[/bold]
    """
    change = profile_change(
        tag,
        untag,
        poll_interval=poll_interval,
        edition=edition,
        licences=licences,
        api_version=api_version,
        zgid=zgid,
    )
    chosen = required(selection(names, tagged, states, data_centers))
    from poller.admin import orgs

    done = terminal.run(_apply(terminal.settings(), lambda app: orgs.set_profiles(app.database, chosen, change)))
    same = done.selected - done.changed
    terminal.say(f"{count(done.changed, 'org')} changed{f', {same:,} as asked already' if same else ''}.")


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Its name now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
) -> None:
    """Give an org another name; its history stays with it. A removed org can be renamed, too.

    Example: [bold]poller orgs rename Acme "Acme Ltd"[/bold]
    """
    from poller.admin import orgs
    from poller.core.org_entry import name_from

    try:
        name = name_from(new)
    except ValueError as wrong:
        raise UsageError(f"NEW: {wrong}", "choose another name") from wrong
    terminal.run(_apply(terminal.settings(), lambda app: orgs.rename(app.database, old, name)))
    terminal.say(f"{old} is now {name}.")


def pause(
    names: ChangedNames = None, *, tags: Tags = None, states: States = None, data_centers: DataCenters = None
) -> None:
    """Stop polling orgs until they are resumed. Their history stays.

    Example: [bold]poller orgs pause "Acme Ltd"[/bold]
    """
    from poller.admin import orgs

    chosen = required(selection(names, tags, states, data_centers))
    done = terminal.run(_apply(terminal.settings(), lambda app: orgs.pause(app.database, chosen)))
    terminal.say(f"{count(done, 'org')} paused.")


def resume(
    names: ChangedNames = None, *, tags: Tags = None, states: States = None, data_centers: DataCenters = None
) -> None:
    """Poll orgs again: paused ones, and parked ones that were repaired.

    Example: [bold]poller orgs resume "Acme Ltd"[/bold]
    """
    from poller.admin import orgs

    chosen = required(selection(names, tags, states, data_centers))
    done = terminal.run(_apply(terminal.settings(), lambda app: orgs.resume(app.database, chosen)))
    terminal.say(f"{count(done, 'org')} resumed.")


def remove(
    names: ChangedNames = None,
    *,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
    purge: Annotated[bool, typer.Option("--purge", help="Delete their history as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the credentials of orgs; their names and history stay, unless purged. `restore` brings orgs back.

    Example: [bold]poller orgs remove "Acme Ltd" --purge[/bold]
    """
    from poller.admin import orgs

    settings = terminal.settings()
    chosen = required(selection(names, tags, states, data_centers))
    if not yes:
        _confirm(terminal.run(_find(settings, chosen, removed=purge)), purge=purge)
    delete = orgs.purge if purge else orgs.remove
    done = terminal.run(_apply(settings, lambda app: delete(app.database, chosen)))
    terminal.say(f"{count(done, 'org')} {'purged' if purge else 'removed'}.")


def restore(
    names: ChangedNames = None, *, tags: Tags = None, states: States = None, data_centers: DataCenters = None
) -> None:
    """Bring removed orgs back, with their history, tags and settings; paused until they have credentials again.

    Example: [bold]poller orgs restore "Acme Ltd"[/bold]
    """
    from poller.admin import orgs

    chosen = required(selection(names, tags, states, data_centers))
    for org in terminal.run(_apply(terminal.settings(), lambda app: orgs.restore(app.database, chosen))):
        needed = _CREDENTIALS.get(org.grant or "", "a refresh token, a grant code or its soid")
        terminal.out_wrapped(
            f"{org.name} is back, paused until it has credentials: give its client id, client secret and {needed} "
            f"with `poller orgs add '{org.name}'` or `poller orgs import FILE`.",
            2,
        )


def _confirm(names: list[str], *, purge: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError("no terminal to confirm at", "pass --yes")
    named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
    what = "everything that is known of" if purge else "the credentials of"
    if not typer.confirm(f"Delete {what} {named}?", err=True):
        raise typer.Exit(1)


async def _find(settings: Settings, chosen: Selection, *, removed: bool) -> list[str]:
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        return list((await chosen.find(app.database, removed=removed)).values())


async def _apply(settings: Settings, change: Callable[[App], Awaitable[T]]) -> T:
    """Opens the database and makes one change; returns its result."""
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        return await change(app)
