"""The file of a backup: a ZIP with a dump, the key file, and a manifest that describes them."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Self

from poller.core.errors import SettingsError, UsageError
from poller.settings import KEY_FILE
from poller.store import schema
from poller.store.orgs.encryption import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DUMP: Final = "database.dump"
FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_NO_BACKUP: Final = "name a file that `poller backup` made"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Describes a backup. `keys`: ids of the keys that encrypt its credentials; `key_file`: it contains the keys."""

    format: int
    poller: str
    made_at: str
    revision: str
    orgs: int
    snapshots: int
    keys: list[str]
    key_file: bool

    @classmethod
    def read(cls, archive: zipfile.ZipFile) -> Self:
        """Raises `ValueError` for a manifest that this version does not know."""
        facts: dict[str, Any] = json.loads(archive.read(_MANIFEST))
        if facts["format"] != FORMAT:
            raise ValueError("another format")
        return cls(**{name: facts[name] for name in cls.__slots__})


def write(part: Path, manifest: Manifest, key_file: Path, dump: Callable[[IO[bytes]], None]) -> None:
    """Writes a new file that only this user can read, and waits until it is on disk; `dump` writes the dump."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(DUMP, "w", force_zip64=True) as target:
                dump(target)
            if manifest.key_file:
                archive.write(key_file, KEY_FILE)
            archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
        file.flush()
        os.fsync(file.fileno())


def verify(source: Path) -> Manifest:
    """Reads the whole file and checks every checksum."""
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = Manifest.read(archive)
            names = {DUMP, _MANIFEST, *([KEY_FILE] if manifest.key_file else [])}
            if not names <= set(archive.namelist()) or archive.testzip() is not None:
                raise UsageError(f"{source} is damaged", "use another backup; nothing was changed")
            if manifest.key_file:
                _check_keys(archive.read(KEY_FILE).decode("ascii"), source)
    except OSError as wrong:
        raise UsageError(f"{source} cannot be read: {wrong.strerror}", _NO_BACKUP) from wrong
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, NotImplementedError) as wrong:
        raise UsageError(
            f"{source} is not a backup of a poller, or is damaged", f"{_NO_BACKUP}; nothing was changed"
        ) from wrong
    if manifest.revision > schema.head_revision():
        what = f"{source} was made by a newer poller ({manifest.poller}, schema {manifest.revision})"
        raise UsageError(what, "restore it with that release or a newer one")
    return manifest


def _check_keys(text: str, source: Path) -> None:
    try:
        Keyring.from_setting(text.strip())
    except SettingsError:
        raise UsageError(f"the key file in {source} is damaged", "use another backup; nothing was changed") from None


def unpack_keys(source: Path, folder: Path) -> None:
    """Writes the key file of a backup into a data folder."""
    with zipfile.ZipFile(source) as archive, open(folder / KEY_FILE, "xb", opener=_private) as file:
        file.write(archive.read(KEY_FILE))
        os.fsync(file.fileno())
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(folder / KEY_FILE, owner.st_uid, owner.st_gid)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
