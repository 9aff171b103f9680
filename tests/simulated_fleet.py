"""Imports the orgs of a simulated Zoho: by the command `poller orgs import`, or directly into a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from poller.core.org_entry import OrgEntry, entry_from
from poller.store.orgs.imports import import_orgs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from poller.core.datacenters import DataCenter
    from poller.simulator import Simulator
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from tests.command import Ended


def fleet_file(sim: Simulator, folder: Path, file_format: Literal["csv", "jsonl"] = "csv") -> Path:
    """Writes the import file of the fleet into `folder`; returns its path."""
    file = folder / f"fleet.{file_format}"
    file.write_text("".join(sim.import_lines(file_format)), encoding="utf-8")
    return file


async def import_by_command(
    sim: Simulator, folder: Path, run: Callable[..., Awaitable[Ended]], **options: Any
) -> Ended:
    """Imports the fleet by `poller orgs import`; `run` runs a `poller` command, `options` are passed on to it."""
    ended = await run("orgs", "import", str(fleet_file(sim, folder)), **options)
    assert ended.code == 0, ended.err
    return ended


def entries_of(rows: Iterable[Mapping[str, Any]], data_centers: Mapping[str, DataCenter]) -> list[OrgEntry]:
    """The org entries in these rows of an import; fails if a row is invalid."""
    entries = [entry_from(row, data_centers) for row in rows]
    valid = [entry for entry in entries if isinstance(entry, OrgEntry)]
    assert valid == entries
    return valid


async def import_fleet(
    database: Database, keyring: Keyring, sim: Simulator, data_centers: Mapping[str, DataCenter]
) -> list[str]:
    """Imports the fleet directly into the database; returns the names of its orgs."""
    entries = entries_of((org.row() for org in sim.fleet()), data_centers)
    await import_orgs(database, keyring, entries)
    return [entry.name for entry in entries]
