"""`poller access …`: keys for the pages and the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli.output import terminal
from poller.core.callers import Right
from poller.core.durations import parse_seconds
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.access_key import AccessKey
    from poller.settings import Settings

access = typer.Typer(
    name="access",
    help="""Keys for the pages and the API: who may see which orgs, and who may poll and pause them.

    Example: [bold]poller access add "night shift" --may read --tag emea --expires 90d[/bold]""",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(access)


@access.command()
def add(
    name: Annotated[str, typer.Argument(help="Who uses the key; the audit log names it.")],
    may: Annotated[Right, typer.Option(help="See orgs, or also poll, pause and resume them.")],
    tag: Annotated[
        list[str] | None, typer.Option(help="See only orgs with this tag; repeat it for several.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When the key ends, such as 90d; else it is revoked.", show_default=False)
    ] = None,
) -> None:
    """Make a key and print it, alone on standard output. It cannot be shown again.

    Send it as Authorization: Bearer KEY, or log in with it in a browser.

    Example: [bold]poller access add grafana --may read > grafana.key[/bold]
    """
    terminal.run(_add(terminal.settings(), name, may, tag or [], _seconds(expires)))


@access.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and key.")] = False,
) -> None:
    """List the keys: what each may do, when it was used last, and whether it still works. No key itself is shown.

    Example: [bold]poller access list --json[/bold]
    """
    terminal.run(_list(terminal.settings(), as_json=as_json))


@access.command()
def revoke(name: Annotated[str, typer.Argument(help="The name of the key.")]) -> None:
    """Revoke a key: its next request is refused, and its browser sessions end.

    Example: [bold]poller access revoke grafana[/bold]
    """
    terminal.run(_revoke(terminal.settings(), name))


def _seconds(expires: str | None) -> int | None:
    if expires is None:
        return None
    try:
        return parse_seconds(expires)
    except ValueError as wrong:
        what, _, remedy = str(wrong).partition(": ")
        raise UsageError(f"--expires: {what}", remedy) from wrong


async def _add(settings: Settings, name: str, right: Right, tags: list[str], expires_seconds: int | None) -> None:
    from poller.admin.access import add_key, tags_of_no_org
    from poller.app import open_app

    async with open_app(settings, name="poller access") as app:
        key, text = await add_key(
            app.database, app.keyring, name, right=right, tags=tags, expires_seconds=expires_seconds
        )
        for tag in await tags_of_no_org(app.database, key.tags):
            terminal.err(f"poller: warning: no org has the tag {tag!r} now; see tags with `poller orgs list`")
    terminal.out(text.reveal())
    until = "until it is revoked" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    orgs = f"orgs tagged {' or '.join(key.tags)}" if key.tags else "all orgs"
    does = "see and operate" if right is Right.OPERATE else "see"
    terminal.err(f"The key {key.name!r} may {does} {orgs}, {until}. Keep it now: it cannot be shown again.")


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.admin.access import list_keys
    from poller.app import open_app
    from poller.cli.output.table import Table

    async with open_app(settings, name="poller access") as app:
        keys, now, key_ids = await list_keys(app.database), app.database.clock.now(), app.keyring.ids
    headings = ("name", "state", "may", "tags", "created", "expires", "last used")
    spare, times = ("created", "expires", "last used"), headings[4:]
    table = Table(headings, spare=spare, below="tags", whole=times, verdicts=("state",))
    for key in keys:
        if as_json:
            terminal.out(json.dumps(_facts(key, key.state(now, key_ids))))
        tags = ", ".join(key.tags) or "all orgs"
        times = _day(key.created_at), _day(key.expires_at), _day(key.last_used_at)
        table.rows.append((key.name, key.state(now, key_ids), key.right.value, tags, *times))
    if not as_json and not keys:
        terminal.err("There is no access key; make one with `poller access add NAME --may read`.")
    elif not as_json:
        terminal.begin_listing()
        terminal.show(table)


async def _revoke(settings: Settings, name: str) -> None:
    from poller.admin.access import revoke_key
    from poller.app import open_app

    async with open_app(settings, name="poller access") as app:
        key = await revoke_key(app.database, name)
    terminal.err(f"The key {key.name!r} is revoked, and its sessions are over.")


def _facts(key: AccessKey, state: str) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": state,
        "may": key.right.value,
        "tags": list(key.tags),
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "last_used_at": _iso(key.last_used_at),
        "revoked_at": _iso(key.revoked_at),
        "encryption_key": key.pepper_id,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _day(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"
