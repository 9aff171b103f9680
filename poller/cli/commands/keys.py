"""`poller keys …`: which encryption keys are in use, and re-encryption of everything with the first one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.admin.keys import KeyUse
    from poller.settings import Settings

keys = typer.Typer(
    name="keys",
    help="""See which encryption keys are in use, and change them.

    Example: [bold]poller keys list[/bold]""",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(keys)


@keys.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and key.")] = False,
) -> None:
    """List the encryption keys by id: whether they are in POLLER_SECRET_KEYS, and how many rows each encrypts.

    A key that is not the first and has no row can be removed. No key itself is shown.

    Example: [bold]poller keys list --json[/bold]
    """
    terminal.run(_list(terminal.settings(), as_json=as_json))


@keys.command()
def rotate() -> None:
    """Re-encrypt everything with the first key of POLLER_SECRET_KEYS, while the service runs.

    First give the new key to every worker, behind the old one, and only then put it first. The command can be stopped
    and run again at any time. At the end it says which keys can be removed, or what still uses them. Exit 1 if
    credentials are left.

    Example: [bold]poller keys rotate[/bold]
    """
    terminal.run(_rotate(terminal.settings()))


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.admin.keys import TABLES, list_keys
    from poller.app import open_app
    from poller.cli.output.table import Table

    async with open_app(settings, name="poller keys") as app:
        found = await list_keys(app.database, app.keyring)
    table = Table(("key", "state", *TABLES), right=TABLES, verdicts=("state",))
    for key in found:
        if as_json:
            total = sum(key.rows.values())
            terminal.out(json.dumps({"key": key.key_id, "state": key.state, "rows": key.rows, "total": total}))
        table.rows.append((key.key_id, key.state, *(f"{key.rows[name]:,}" for name in TABLES)))
    if not as_json:
        terminal.begin_listing()
        terminal.show(table)


async def _rotate(settings: Settings) -> None:
    from poller.admin import keys as admin
    from poller.app import open_app

    async with open_app(settings, name="poller keys") as app:
        first = app.keyring.current_id
        for name in await admin.workers_without(app.database, first):
            terminal.err(
                f"poller: warning: the worker {name} does not have the key {first}: it leaves these orgs to others; "
                f"add {first} to its keys"
            )
        total = await admin.count_rows_to_rotate(app.database, app.keyring)
        with terminal.progress() as progress:
            task = progress.add_task("re-encrypting", total=total)
            done = await admin.rotate(app.database, app.keyring, lambda done: progress.update(task, completed=done))
    place = admin.place_of_keys(settings)
    terminal.say(f"{count(done.rows, 'row')} re-encrypted; the first key of {place} is {first}.")
    for key in done.others:
        terminal.say(_removable(key, done.workers_behind, first))


def _removable(key: KeyUse, workers_behind: Sequence[str], first: str) -> str:
    """Whether a key that is no longer the first one can be removed, or what still uses it."""
    from poller.admin.keys import ACCESS_KEYS

    if workers_behind:
        workers = ", ".join(workers_behind)
        return (
            f"Keep {key.key_id}: other keys are still the first of {workers}; put {first} first there, then run this "
            "again."
        )
    encrypted = {table: rows for table, rows in key.rows.items() if rows and table != ACCESS_KEYS}
    if used := ", ".join(f"{count(rows, 'row')} of {table}" for table, rows in encrypted.items()):
        return f"Keep {key.key_id}: {used} still use it; run this again."
    if waiting := key.rows[ACCESS_KEYS]:
        return (
            f"Keep {key.key_id}: {count(waiting, 'access key')} can only be checked with it; each moves to {first} when"
            " it is used next, see `poller access list`."
        )
    return f"No row uses {key.key_id} any more: remove it, unless a backup needs it."
