"""Makes a backup of the embedded database, which may be in use."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from poller import __version__
from poller.app import start_embedded
from poller.backup.archive import FORMAT, Manifest, write
from poller.backup.dump import dump
from poller.core.errors import OperationError, UsageError
from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.key_rotation import key_usage
from poller.whole_file import check_place

if TYPE_CHECKING:
    from pathlib import Path

    from poller.embedded import EmbeddedServer
    from poller.settings import Settings


async def back_up(settings: Settings, target: Path) -> Manifest:
    """Writes a backup of the embedded database to `target`, completely or not at all."""
    require_embedded(settings, "pg_dump -Fc")
    await asyncio.to_thread(_require_new_file, target)
    server = await asyncio.to_thread(start_embedded, settings.data_dir)
    with contextlib.closing(server):
        manifest = await _describe(settings, server)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            await asyncio.to_thread(write, part, manifest, settings.key_file, partial(dump, server))
            os.link(part, target)  # unlike a rename, a link never replaces a file that was created meanwhile
        except OSError as wrong:
            what = f"{target} cannot be written: {wrong.strerror}"
            raise OperationError(what, "name a file in a folder you may write to, with room for it") from wrong
        finally:
            part.unlink(missing_ok=True)
    return manifest


def require_embedded(settings: Settings, program: str) -> None:
    """Raises an error for a database that the operator runs."""
    if not settings.embedded:
        raise UsageError("POLLER_DATABASE_URL names a database of yours", f"use its own tools: {program}")


def _require_new_file(target: Path) -> None:
    check_place(target)
    if target.exists():
        raise UsageError(f"{target} is there already", "name a file that is not there yet, or remove it")


async def _describe(settings: Settings, server: EmbeddedServer) -> Manifest:
    async with await connect(
        server.dsn(), schema_check=False, max_size=1, application_name="poller backup"
    ) as database:
        async with database.connection() as connection:
            state = await schema.read_state(connection)
        if state.current is None:
            raise OperationError(f"the database in {settings.data_dir} is empty", "run `poller migrate` first")
        # backup.count: for the manifest.
        row = await database.fetchrow("SELECT (SELECT count(*) FROM orgs) orgs, (SELECT count(*) FROM org_snapshots) n")
        keys = sorted(await key_usage(database))
    key_file = settings.secret_keys is None and (settings.key_file).exists()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Manifest(FORMAT, __version__, now, state.current, row["orgs"], row["n"], keys, key_file)
