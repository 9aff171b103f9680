"""`poller keys …`: which encryption keys are in use, and re-encryption of everything under the first one."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.output import terminal
from poller.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from poller.app import App
    from poller.core.fleet import WorkerRecord
    from poller.settings import Settings

_SEEN: Final = timedelta(minutes=1)

keys = typer.Typer(
    name="keys",
    help="""See which encryption keys are in use, and change them.

    Example: [bold]poller keys list[/bold]""",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Make the commands known."""
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
    """Re-encrypt everything under the first key of POLLER_SECRET_KEYS, while the service runs.

    Before: give the new key to every worker, behind the old one, then in front of it. It may be stopped and run again
    at any time. Afterwards it says which keys can be removed, or what still uses them. Exit 1 if credentials are left.

    Example: [bold]poller keys rotate[/bold]
    """
    terminal.run(_rotate(terminal.settings()))


@asynccontextmanager
async def require_keys(app: App) -> AsyncIterator[None]:
    """Raises `SettingsError` where this process's keys do not decrypt the credentials of the orgs that are polled."""
    from poller.store.orgs.key_rotation import unopened_keys

    place = _place(app.settings)
    for key in await unopened_keys(app.database, app.keyring):
        orgs = "1 org" if key.orgs == 1 else f"{key.orgs:,} orgs"
        encrypted = f"the credentials of {orgs} are encrypted with"
        if key.wrong:
            raise SettingsError(
                f"{encrypted} another key named {key.key_id} than the one in {place}",
                f"put the right {key.key_id} there, as the other workers have it; see `poller keys list`",
            )
        raise SettingsError(
            f"{encrypted} the key {key.key_id}, which is not in {place}",
            f"add {key.key_id} behind the first key; if it is lost, import these orgs again or pause them",
        )
    yield


async def _list(settings: Settings, *, as_json: bool) -> None:
    from poller.app import open_app
    from poller.cli.output.table import Table
    from poller.store.orgs.key_rotation import TABLES, key_usage_by_table

    async with open_app(settings, name="poller keys") as app:
        usage = await key_usage_by_table(app.database)
        held = app.keyring.ids
    unused = dict.fromkeys(TABLES, 0)
    table = Table(("key", "state", *TABLES), right=TABLES)
    for key_id in [*held, *(key_id for key_id in usage if key_id not in held)]:
        rows, state = usage.get(key_id, unused), _state(key_id, held, usage)
        if as_json:
            terminal.tell(json.dumps({"key": key_id, "state": state, "rows": rows, "total": sum(rows.values())}))
        table.rows.append((key_id, state, *(f"{rows[name]:,}" for name in TABLES)))
    if not as_json:
        terminal.show(table)


def _state(key_id: str, held: Sequence[str], usage: Mapping[str, Mapping[str, int]]) -> str:
    if key_id == held[0]:
        return "encrypts"
    if key_id not in held:
        return "missing"
    return "decrypts" if key_id in usage else "unused"


async def _rotate(settings: Settings) -> None:
    from poller.app import open_app
    from poller.store.orgs.key_rotation import key_usage, key_usage_by_table, rotate as rotate_keys
    from poller.store.queue.workers import list_workers

    async with open_app(settings, name="poller keys") as app:
        first, place = app.keyring.current_id, _place(settings)
        workers = await list_workers(app.database, app.database.clock.now() - _SEEN)
        for name in _named(workers, lambda ids: first not in ids):
            terminal.say(
                f"poller: warning: the worker {name} does not have the key {first}: it leaves these orgs to others; "
                f"add {first} to its keys"
            )
        total = sum(rows for key_id, rows in (await key_usage(app.database)).items() if key_id != first)
        with terminal.progress() as progress:
            task = progress.add_task("re-encrypting", total=total)
            done = await rotate_keys(
                app.database, app.keyring, progress=lambda done: progress.update(task, completed=done)
            )
        usage = await key_usage_by_table(app.database)
    terminal.tell(f"{_rows(done)} re-encrypted; the first key of {place} is {first}.")
    behind = _named(workers, lambda ids: ids[0] != first)
    for key_id in dict.fromkeys([*app.keyring.ids[1:], *usage]):
        if key_id != first:
            terminal.tell(_removable(key_id, usage.get(key_id, {}), behind, first))


def _removable(key_id: str, rows: Mapping[str, int], behind: Sequence[str], first: str) -> str:
    """Whether a key that is no longer the first one can be removed, or what still uses it."""
    used = ", ".join(f"{_rows(count)} of {table}" for table, count in rows.items() if count)
    if behind:
        workers = ", ".join(behind)
        return (
            f"Keep {key_id}: other keys are still the first of {workers}; put {first} first there, then run this again."
        )
    if used:
        return f"Keep {key_id}: {used} still use it; run this again."
    return f"No row uses {key_id} any more: remove it, unless a backup needs it."


def _place(settings: Settings) -> str:
    return "POLLER_SECRET_KEYS" if settings.secret_keys is not None else str(settings.key_file)


def _named(workers: Sequence[WorkerRecord], chosen: Callable[[Sequence[str]], bool]) -> list[str]:
    """The names of the workers whose key ids are so; one that does not say which keys it has is not among them."""
    return [worker.name for worker in workers if (ids := worker.facts.get("keys")) and chosen(ids)]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
