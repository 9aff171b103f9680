"""`poller migrate`: the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal

if TYPE_CHECKING:
    from poller.admin.schema import ForAdministrator
    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
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
    """Whether the database is still behind."""
    from poller.admin import schema
    from poller.app import database_dsn
    from poller.embedded import is_made

    if check and settings.embedded and not is_made(settings.data_dir):
        terminal.err(f"There is no database in {settings.data_dir} yet; run `poller migrate` to make it.")
        return True
    async with database_dsn(settings, create=not check) as dsn:
        status = await (schema.check_schema if check else schema.migrate)(dsn)
        found = "empty" if status.found is None else f"at revision {status.found}"
        if not status.behind:
            terminal.err(f"The database is up to date, {found}.")
        elif check:
            terminal.err(f"The database is {found}, this poller needs {status.needed}; run `poller migrate`.")
        else:
            terminal.err(f"The database was {found}, and is at revision {status.needed} now.")
        if not check:
            _say_what_remains(await schema.set_up_reading(dsn))
        return check and status.behind


def _say_what_remains(statements: ForAdministrator) -> None:
    """Says which statements an administrator must run, because the poller's role may not."""
    if statements.create:
        create = " ".join(statements.create)
        terminal.err(f"To let others read, have an administrator run `{create}`, then `poller migrate` again.")
    if statements.to_read:
        terminal.err(f"To let others read, have an administrator run `{'; '.join(statements.to_read)};`.")
    if statements.to_limit:
        limit = "; ".join(statements.to_limit)
        terminal.err(f"To limit what others may take of the server, have an administrator run `{limit};`.")
    if statements.to_scope:
        scope = "; ".join(statements.to_scope)
        terminal.err(
            f"To let PostgreSQL hide other orgs from access keys with tags, have an administrator run `{scope};`, then "
            "`poller migrate` again."
        )
