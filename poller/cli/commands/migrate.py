"""`poller migrate`: the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal

if TYPE_CHECKING:
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("migrate")(migrate)


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if the database is behind.")] = False,
) -> None:
    """Bring the database up to date.

    Safe to run again, and by several at once. The embedded database is brought up to date automatically.

    Example: [bold]poller migrate --check || poller migrate[/bold]
    """
    if terminal.run(_migrate(terminal.settings(), check=check)):
        raise typer.Exit(1)


async def _migrate(settings: Settings, *, check: bool) -> bool:
    """Whether the database is behind, at the end."""
    from poller.app import database_dsn
    from poller.embedded import is_made
    from poller.store import schema

    if check and settings.embedded and not is_made(settings.data_dir):
        terminal.say(f"There is no database in {settings.data_dir} yet; run `poller migrate` to make it.")
        return True
    async with database_dsn(settings, create=not check) as dsn:
        state = await (schema.check if check else schema.upgrade)(dsn)
        found = "empty" if state.current is None else f"at revision {state.current}"
        if not state.behind:
            terminal.say(f"The database is up to date, {found}.")
        elif check:
            terminal.say(f"The database is {found}, this poller needs {state.head}; run `poller migrate`.")
        else:
            terminal.say(f"The database was {found}, and is at revision {state.head} now.")
        if not check:
            await _set_up_readers(dsn)
        return check and state.behind


async def _set_up_readers(dsn: str) -> None:
    """Say what an administrator must do for those who only read, where this role may not do it."""
    from poller.store.access.roles import grant_readers, set_up_readers
    from poller.store.database import connect

    async with await connect(dsn, max_size=1, application_name="poller migrate") as database:
        if absent := await grant_readers(database):
            statements = " ".join(f"CREATE ROLE {role};" for role in absent)
            terminal.say(f"To let others read, have an administrator run `{statements}`, then `poller migrate` again.")
        missing = await set_up_readers(database)
        if missing.to_read:
            terminal.say(f"To let others read, have an administrator run `{'; '.join(missing.to_read)};`.")
        if missing.to_limit and not absent:
            statements = "; ".join(missing.to_limit)
            terminal.say(f"To limit what others may take of the server, have an administrator run `{statements};`.")
