"""Encryption keys: which are in use, whether this process has those it needs, and rotation to the first key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import SettingsError
from poller.core.quantities import count
from poller.store.access.keys import count_by_pepper
from poller.store.orgs import key_rotation
from poller.store.queue.workers import list_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from poller.core.fleet import WorkerRecord
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

ACCESS_KEYS: Final = "access_keys"
"""Only hashes of them are stored: their next use moves them to the first key."""
TABLES: Final = (*key_rotation.TABLES, ACCESS_KEYS)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key: `encrypts` (the first one), `decrypts`, `unused`, or `missing` here; rows by table."""

    key_id: str
    state: str
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rotation:
    """A finished rotation: re-encrypted rows, the uses of each other key, workers with another first key."""

    rows: int
    others: Sequence[KeyUse]
    workers_behind: Sequence[str]


def place_of_keys(settings: Settings) -> str:
    """Where the keys are: the name of the setting, or the key file of the embedded database."""
    return "POLLER_SECRET_KEYS" if settings.secret_keys is not None else str(settings.key_file)


async def require_keys(database: Database, keyring: Keyring, place: str) -> None:
    """Raises `SettingsError` where the keyring does not decrypt the credentials of every org that is polled."""
    for key in await key_rotation.unopened_keys(database, keyring):
        encrypted = f"the credentials of {count(key.orgs, 'org')} are encrypted with"
        if key.wrong:
            raise SettingsError(
                f"{encrypted} another key named {key.key_id} than the one in {place}",
                f"put the right {key.key_id} there, as the other workers have it; see `poller keys list`",
            )
        raise SettingsError(
            f"{encrypted} the key {key.key_id}, which is not in {place}",
            f"add {key.key_id} behind the first key; if it is lost, import these orgs again or pause them",
        )


async def list_keys(database: Database, keyring: Keyring) -> list[KeyUse]:
    """The keys of this process in their order, then keys in use that it lacks."""
    encrypted, hashed = await key_rotation.key_usage_by_table(database), await count_by_pepper(database)
    unused = dict.fromkeys(TABLES, 0)
    usage = {
        key_id: {**unused, **encrypted.get(key_id, {}), ACCESS_KEYS: hashed.get(key_id, 0)}
        for key_id in sorted({*encrypted, *hashed})
    }
    ids = [*keyring.ids, *(key_id for key_id in usage if key_id not in keyring.ids)]
    return [KeyUse(key_id, _state(key_id, keyring.ids, usage), usage.get(key_id, unused)) for key_id in ids]


async def workers_without(database: Database, key_id: str) -> list[str]:
    """The names of running workers that do not have this key."""
    return _named(await _workers(database), lambda ids: key_id not in ids)


async def count_rows_to_rotate(database: Database, keyring: Keyring) -> int:
    """Rows that are encrypted with another key than the first."""
    usage = await key_rotation.key_usage(database)
    return sum(rows for key_id, rows in usage.items() if key_id != keyring.current_id)


async def rotate(database: Database, keyring: Keyring, progress: Callable[[int], None]) -> Rotation:
    """Re-encrypts every row with the first key, while workers run; may be stopped and run again."""
    workers = await _workers(database)
    rows = await key_rotation.rotate(database, keyring, progress=progress)
    others = [key for key in await list_keys(database, keyring) if key.key_id != keyring.current_id]
    return Rotation(rows, others, _named(workers, lambda ids: ids[0] != keyring.current_id))


async def _workers(database: Database) -> list[WorkerRecord]:
    return list(await list_workers(database, database.clock.now()))


def _state(key_id: str, held: Sequence[str], usage: Mapping[str, Mapping[str, int]]) -> str:
    if key_id == held[0]:
        return "encrypts"
    if key_id not in held:
        return "missing"
    return "decrypts" if key_id in usage else "unused"


def _named(workers: Sequence[WorkerRecord], chosen: Callable[[Sequence[str]], bool]) -> list[str]:
    """The names of workers whose key ids match; a worker that does not report its keys never matches."""
    return [worker.name for worker in workers if (ids := worker.facts.get("keys")) and chosen(ids)]
