"""`poller backup` and `poller restore`: the embedded database as one file, and back."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal

if TYPE_CHECKING:
    from poller.backup import Manifest


def add_to(app: typer.Typer) -> None:
    """Adds both commands."""
    app.command("backup")(back_up)
    app.command("restore")(restore)


def back_up(file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; not there yet.")]) -> None:
    """Write the embedded database and its keys to one file; the database may be in use.

    The file contains the credentials of every org and the keys that decrypt them: protect it like a key.

    Example: [bold]poller backup poller-2026-11-27.zip[/bold]
    """
    from poller import backup

    manifest = terminal.run(backup.back_up(terminal.settings(), file))
    terminal.say(f"{file}: {_contents(manifest)}.")
    if manifest.key_file:
        terminal.err("The keys of its credentials are in it: keep it where keys are kept.")
    elif manifest.keys:
        keys = ", ".join(manifest.keys)
        terminal.err(
            f"Its credentials need the key {keys} of POLLER_SECRET_KEYS, which is not in it: keep that elsewhere."
        )


def restore(file: Annotated[Path, typer.Argument(metavar="FILE", help="Made by `poller backup`.")]) -> None:
    """Replace the embedded database with the one of a backup; the old one is kept under another name.

    The file is verified and the new database created before anything is renamed. No other poller may run meanwhile.

    Example: [bold]poller restore poller-2026-11-27.zip[/bold]
    """
    from poller import backup

    restored = terminal.run(backup.restore(terminal.settings(), file))
    terminal.say(f"Restored from {file}: {_contents(restored.manifest)}, as of {restored.manifest.made_at}.")
    if restored.aside:
        kept = ", ".join(str(path) for path in restored.aside)
        terminal.err(f"What was there is kept: {kept}; remove it once you are sure.")
    if restored.missing_keys:
        keys = ", ".join(restored.missing_keys)
        terminal.err(f"Its credentials need the key {keys}: put it into POLLER_SECRET_KEYS, or import the orgs again.")


def _contents(manifest: Manifest) -> str:
    return f"{manifest.orgs:,} orgs, {manifest.snapshots:,} snapshots"
