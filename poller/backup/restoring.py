"""Restores a backup in place of the embedded database, completely or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller import embedded
from poller.backup.archive import DUMP, Manifest, unpack_keys, verify
from poller.backup.dump import load
from poller.backup.making import require_embedded
from poller.core.errors import OperationError
from poller.embedded.exchange import put_in_place, temporary_data_dir, unused
from poller.settings import KEY_FILE
from poller.store import schema
from poller.store.access.roles import grant_readers, set_up_readers
from poller.store.database import connect
from poller.store.orgs.encryption import Keyring

if TYPE_CHECKING:
    from pathlib import Path

    from poller.embedded import EmbeddedServer
    from poller.settings import Settings


@dataclass(frozen=True, slots=True)
class RestoredBackup:
    """What was restored, where the old database's files are now, and the keys that the settings lack."""

    manifest: Manifest
    aside: list[Path]
    missing_keys: list[str]


async def restore(settings: Settings, source: Path) -> RestoredBackup:
    """Replaces the embedded database with the one of a backup; the old one is renamed."""
    require_embedded(settings, "pg_restore")
    manifest = await asyncio.to_thread(verify, source)
    data_dir = settings.data_dir
    embedded.make_data_dir(data_dir)
    with unused(data_dir):
        pass  # before a restore that would fail takes minutes
    with temporary_data_dir(data_dir) as folder:
        await _make_cluster(source, folder, manifest)
        also = (KEY_FILE,) if manifest.key_file else ()
        suffix = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with unused(data_dir):
            aside = put_in_place(folder, data_dir, suffix, also)
    return RestoredBackup(manifest, aside, _missing_keys(settings, manifest))


def _missing_keys(settings: Settings, manifest: Manifest) -> list[str]:
    if settings.secret_keys is not None:
        ids = Keyring.from_setting(settings.secret_keys.get_secret_value()).ids
    elif (settings.key_file).exists():
        ids = Keyring.from_key_file(settings.key_file).ids
    else:
        ids = ()
    return [key for key in manifest.keys if key not in ids]


async def _make_cluster(source: Path, folder: Path, manifest: Manifest) -> None:
    """Creates a cluster in `folder` from the backup, migrates it and checks it."""
    if manifest.key_file:
        await asyncio.to_thread(unpack_keys, source, folder)
    server = await asyncio.to_thread(embedded.start, folder)
    with contextlib.closing(server):
        await asyncio.to_thread(_load, source, server)
        await schema.upgrade(server.dsn())
        async with await connect(server.dsn(), max_size=1, application_name="poller restore") as database:
            await grant_readers(database)
            await set_up_readers(database)
            # backup.count_orgs: to check that the dump is complete.
            orgs = await database.fetchval("SELECT count(*) FROM orgs")
    if orgs != manifest.orgs:
        what = f"{source} holds {orgs} orgs and says that it holds {manifest.orgs}"
        raise OperationError(what, "use another backup; nothing was changed")


def _load(source: Path, server: EmbeddedServer) -> None:
    with zipfile.ZipFile(source) as archive, archive.open(DUMP) as dump:
        load(server, dump)
