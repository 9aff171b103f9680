"""`poller orgs set`, `rename`, `pause`, `resume`, `remove` and `restore`: changes that need no secret."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.commands.orgs.settings import profile_change
from poller.cli.options.orgs import DataCenters, Names, States, Tags, required, selection
from poller.cli.output import terminal
from poller.core import quantities
from poller.core.errors import UsageError
from poller.core.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any

    from poller.core.profile import ProfileChange
    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.changes import Restored

_NAMED: Final = 10
_CREDENTIALS: Final = {"refresh_token": "a refresh token", "grant_code": "a grant code", "soid": "its soid"}


def add_to(orgs: typer.Typer) -> None:
    """Add the commands to `poller orgs`."""
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
    names: Names = None,
    *,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="Add this tag; more than once.")] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", metavar="T", help="Take this tag away; more than once.")
    ] = None,
    poll_interval: Annotated[
        str | None, typer.Option(metavar="D", help="Such as 5m; `default`: that of the service.")
    ] = None,
    edition: Annotated[
        str | None, typer.Option(metavar="E", help="Such as enterprise; `learn`: ask Zoho again.")
    ] = None,
    licences: Annotated[str | None, typer.Option(metavar="N", help="A number; `learn`: ask Zoho again.")] = None,
    api_version: Annotated[
        str | None, typer.Option(metavar="V", help="Such as v8; `default`: that of the service.")
    ] = None,
    zgid: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="The customer has moved to the Zoho org of this number; `learn`: that of the credentials."
        ),
    ] = None,
    tagged: Annotated[
        list[str] | None,
        typer.Option("--tagged", metavar="T", help="Only orgs with this tag; more than once: with all."),
    ] = None,
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
    total, count = terminal.run(_set(terminal.settings(), chosen, change))
    terminal.tell(
        f"{quantities.count(count, 'org')} changed{f', {total - count:,} as asked already' if total > count else ''}."
    )


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Its name now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
) -> None:
    """Give an org another name; its history goes with it. A removed org can be renamed, too.

    Example: [bold]poller orgs rename Acme "Acme Ltd"[/bold]
    """
    from poller.core.org_entry import name_from
    from poller.store.orgs.changes import rename as rename_org

    try:
        name = name_from(new)
    except ValueError as wrong:
        raise UsageError(f"NEW: {wrong}", "choose another name") from wrong
    terminal.run(_on_database(terminal.settings(), lambda database: rename_org(database, old, name)))
    terminal.tell(f"{old} is now {name}.")


def pause(names: Names = None, *, tags: Tags = None, states: States = None, data_centers: DataCenters = None) -> None:
    """Stop polling orgs until they are resumed. What is known stays.

    Example: [bold]poller orgs pause "Acme Ltd"[/bold]
    """
    from poller.store.orgs.orgs import pause as pause_orgs

    chosen = required(selection(names, tags, states, data_centers))
    count = terminal.run(
        _change(terminal.settings(), chosen, lambda database, found: pause_orgs(database, found, database.clock.now()))
    )
    terminal.tell(f"{quantities.count(count, 'org')} paused.")


def resume(names: Names = None, *, tags: Tags = None, states: States = None, data_centers: DataCenters = None) -> None:
    """Poll orgs again: paused ones, and parked ones that were repaired.

    Example: [bold]poller orgs resume "Acme Ltd"[/bold]
    """
    from poller.store.orgs.orgs import resume as resume_orgs

    chosen = required(selection(names, tags, states, data_centers))
    count = terminal.run(
        _change(terminal.settings(), chosen, lambda database, found: resume_orgs(database, found, database.clock.now()))
    )
    terminal.tell(f"{quantities.count(count, 'org')} resumed.")


def remove(
    names: Names = None,
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
    from poller.store.orgs import orgs as store

    settings = terminal.settings()
    chosen = required(selection(names, tags, states, data_centers))
    if not yes:
        found = terminal.run(_find(settings, chosen, removed=purge))
        _confirm(list(found.values()), purge=purge)

    async def carry_out(database: Database, found: list[str]) -> int:
        return await (store.purge(database, found) if purge else store.remove(database, found, database.clock.now()))

    count = terminal.run(_change(settings, chosen, carry_out, removed=purge))
    terminal.tell(f"{quantities.count(count, 'org')} {'purged' if purge else 'removed'}.")


def restore(names: Names = None, *, tags: Tags = None, data_centers: DataCenters = None) -> None:
    """Bring removed orgs back, with their history, tags and settings; paused until they have credentials again.

    Example: [bold]poller orgs restore "Acme Ltd"[/bold]
    """
    chosen = required(selection(names, tags, None, data_centers))
    for org in terminal.run(_restore(terminal.settings(), chosen)):
        needed = _CREDENTIALS.get(org.grant or "", "a refresh token, a grant code or its soid")
        terminal.tell_folded(
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


async def _set(settings: Settings, chosen: Selection, change: ProfileChange) -> tuple[int, int]:
    from poller.app import open_app
    from poller.store.orgs.changes import set_profiles

    async with open_app(settings, name="poller orgs") as app:
        found = await chosen.find(app.database)
        return len(found), await set_profiles(app.database, list(found), change)


async def _restore(settings: Settings, chosen: Selection) -> list[Restored]:
    from poller.app import open_app
    from poller.store.orgs import changes

    async with open_app(settings, name="poller orgs") as app:
        # By tag or data centre, removed orgs are meant; a name tells which org is.
        among = chosen if chosen.names else replace(chosen, states=(State.REMOVED,))
        found = await among.find(app.database, removed=True)
        restored = await changes.restore(app.database, list(found), app.database.clock.now())
    if not restored:
        name = next(iter(found.values()), "")
        raise UsageError(f"the org {name!r} is not removed", "see removed orgs with `poller orgs list --state removed`")
    return restored


async def _find(settings: Settings, chosen: Selection, *, removed: bool = False) -> dict[int, str]:
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        return await chosen.find(app.database, removed=removed)


async def _change(
    settings: Settings,
    chosen: Selection,
    change: Callable[[Database, list[str]], Awaitable[int]],
    *,
    removed: bool = False,
) -> int:
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        found = await chosen.find(app.database, removed=removed)
        return await change(app.database, list(found.values()))


async def _on_database(settings: Settings, change: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    from poller.app import open_app

    async with open_app(settings, name="poller orgs") as app:
        await change(app.database)
