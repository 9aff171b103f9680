"""`poller psql`: SQL on the embedded database, without installing anything."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def add_to(app: typer.Typer) -> None:
    """Adds the command; all arguments after it are passed to psql."""
    app.command("psql", context_settings={"ignore_unknown_options": True})(psql)


def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="psql's own arguments.")
    ] = None,
) -> None:
    """Open psql on the embedded database.

    Example: [bold]poller psql -c "SELECT org, user_type, count FROM latest_user_counts"[/bold]
    """
    settings = terminal.settings()
    if not settings.embedded:
        raise UsageError("POLLER_DATABASE_URL names a database of yours", "open it with your own psql")
    raise typer.Exit(_psql(settings.data_dir, arguments or []))


def _psql(data_dir: Path, arguments: list[str]) -> int:
    from poller.app import start_embedded

    with start_embedded(data_dir) as server:
        command = server.psql(*arguments)
        # psql handles Ctrl-C itself: it cancels the query, not the session. A handler, unlike SIG_IGN, is not
        # inherited.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return subprocess.run(  # noqa: S603 - the bundled psql, with what the person typed
                command.argv,
                cwd=command.cwd,
                env=command.env,
                check=False,
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)
