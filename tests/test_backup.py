"""Backup and restore of the embedded database with the commands, while processes use the database."""

from __future__ import annotations

import asyncio
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from poller.simulator import Simulator, SimulatorOptions
from tests import command
from tests.command import KEYS, Ended, start
from tests.simulated_fleet import import_by_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Machine:
    """A data folder, and the commands for it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.data_dir = folder / "data"
        self.folder = folder
        self.environ = {
            "POLLER_DATA_DIR": str(self.data_dir),
            "POLLER_DATABASE_URL": "",
            "POLLER_SECRET_KEYS": "",
            "POLLER_LOG_LEVEL": "error",
            "POLLER_WEB_PORT": "0",
            **environ,
        }
        folder.mkdir(exist_ok=True)

    async def poller(self, *arguments: str, code: int = 0) -> Ended:
        ended = await command.run(*arguments, environ=self.environ, cwd=self.folder)
        assert ended.code == code, ended
        return ended

    async def names(self) -> list[str]:
        asked = await self.poller("psql", "--", "-Atc", "SELECT name FROM orgs ORDER BY 1")
        return asked.out.splitlines()

    async def everything(self) -> str:
        """All orgs and all counts."""
        queries = (
            "SELECT name FROM orgs ORDER BY 1",
            "SELECT org, slot, user_type, count FROM user_counts ORDER BY 1,2,3",
        )
        return (await self.poller("psql", "--", "-At", *(f"-c{query}" for query in queries))).out

    def files(self) -> list[str]:
        return sorted(path.name for path in self.data_dir.iterdir())


async def polled(machine: Machine, sim: Simulator) -> None:
    machine.environ["POLLER_DATA_CENTERS"] = json.dumps(sim.data_centers_setting())
    await import_by_command(sim, machine.folder, machine.poller)
    await machine.poller("poll")


async def test_a_restore_brings_back_data_lost_since_the_backup_and_keeps_the_replaced_database(
    tmp_path: Path,
) -> None:
    machine, elsewhere = Machine(tmp_path / "one"), Machine(tmp_path / "other")
    async with Simulator(SimulatorOptions(orgs=3, grant_share=0.0)) as sim:
        await polled(machine, sim)
        before = await machine.everything()
        names = await machine.names()
        made = await machine.poller("backup", "backup.zip")
        assert made.out == "backup.zip: 3 orgs, 3 snapshots.\n"
        backup = machine.folder / "backup.zip"
        assert backup.stat().st_mode & 0o077 == 0
        await machine.poller("orgs", "remove", "--purge", "--yes", names[0])
        await machine.poller("restore", "backup.zip")
        assert await machine.everything() == before
        await machine.poller("poll")
        assert [name for name in machine.files() if name.startswith("postgresql.before-restore-")]
        assert [name for name in machine.files() if name.startswith("secret.key.before-restore-")]
        assert not [name for name in machine.files() if name.startswith(".restore")]

        elsewhere.environ["POLLER_DATA_CENTERS"] = machine.environ["POLLER_DATA_CENTERS"]
        restored = await elsewhere.poller("restore", str(backup))
        assert (restored.out[:14], restored.err) == ("Restored from ", "")
        assert await elsewhere.everything() == before
        await elsewhere.poller("poll")


async def test_a_backup_works_while_the_database_is_in_use_and_a_restore_is_then_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    async with Simulator(SimulatorOptions(orgs=2, grant_share=0.0)) as sim:
        await polled(machine, sim)
        service = await start("run", environ={**machine.environ, "POLLER_LOG_LEVEL": "info"}, cwd=machine.folder)
        try:
            while b"worker.started" not in await service.stderr.readline():
                pass
            await machine.poller("backup", "backup.zip")
            files = machine.files()
            refused = await machine.poller("restore", "backup.zip", code=1)
            assert refused.error == (
                f"poller: the database in {machine.data_dir} is in use by another poller; "
                "stop `poller run` and every other poller there, and try again"
            )
            assert machine.files() == files
        finally:
            await service.end()


def cut(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:5_000])


def turn_a_bit(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 1
    backup.write_bytes(content)


def empty(backup: Path) -> None:
    backup.write_bytes(b"")


def rewrite(name: str, change: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    def edit(backup: Path) -> None:
        with zipfile.ZipFile(backup) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        with zipfile.ZipFile(backup, "w") as archive:
            for member, content in members.items():
                changed = change(content) if member == name else content
                if changed is not None:
                    archive.writestr(member, changed)

    return edit


def newer(manifest: bytes) -> bytes:
    return json.dumps({**json.loads(manifest), "revision": "9999"}).encode()


def fuller(manifest: bytes) -> bytes:
    return json.dumps({**json.loads(manifest), "orgs": 7}).encode()


@dataclass(frozen=True)
class Untouched:
    """A machine with an empty, migrated database that tests do not change: its backup, files and content."""

    machine: Machine
    backup: bytes
    files: list[str]
    everything: str


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Untouched:
    machine = Machine(tmp_path_factory.mktemp("made") / "one")

    async def make() -> Untouched:
        await machine.poller("migrate")
        await machine.poller("backup", "backup.zip")
        backup = (machine.folder / "backup.zip").read_bytes()
        return Untouched(machine, backup, machine.files(), await machine.everything())

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (cut, 2, "is not a backup of a poller, or is damaged"),
        (turn_a_bit, 2, "is damaged"),
        (empty, 2, "is not a backup of a poller, or is damaged"),
        (rewrite("database.dump", lambda _: None), 2, "is damaged"),
        (rewrite("database.dump", lambda dump: dump[:-2_000]), 1, "pg_restore failed: "),
        (rewrite("manifest.json", lambda _: None), 2, "is not a backup of a poller"),
        (rewrite("manifest.json", lambda _: b"{}"), 2, "is not a backup of a poller"),
        (rewrite("manifest.json", newer), 2, "was made by a newer poller"),
        (rewrite("manifest.json", fuller), 1, "holds 0 orgs and says that it holds 7"),
    ],
)
async def test_an_unusable_backup_is_refused_and_changes_nothing(
    untouched: Untouched, damage: Callable[[Path], None], code: int, told: str
) -> None:
    machine = untouched.machine
    backup = machine.folder / "backup.zip"
    backup.write_bytes(untouched.backup)
    damage(backup)
    refused = await machine.poller("restore", "backup.zip", code=code)
    assert told in refused.error
    assert machine.files() == untouched.files
    assert await machine.everything() == untouched.everything


async def test_a_backup_overwrites_no_file_and_leaves_no_incomplete_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    await machine.poller("migrate")
    there = machine.folder / "there.zip"
    there.write_text("precious")
    assert "is there already" in (await machine.poller("backup", "there.zip", code=2)).error
    assert there.read_text() == "precious"
    nowhere = await machine.poller("backup", "nowhere/backup.zip", code=2)
    assert nowhere.error == "poller: there is no folder nowhere; create it, or name another file"
    assert [path.name for path in machine.folder.iterdir() if path.is_file()] == ["there.zip"]


async def test_keys_from_the_settings_are_not_in_the_backup_and_are_required_for_a_restore(tmp_path: Path) -> None:
    machine, elsewhere = Machine(tmp_path / "one", POLLER_SECRET_KEYS=KEYS), Machine(tmp_path / "other")
    async with Simulator(SimulatorOptions(orgs=1, grant_share=0.0)) as sim:
        await polled(machine, sim)
    made = await machine.poller("backup", "backup.zip")
    assert made.error.startswith("Its credentials need the key k1 of POLLER_SECRET_KEYS, which is not in it")
    restored = await elsewhere.poller("restore", str(machine.folder / "backup.zip"))
    assert restored.error.startswith("Its credentials need the key k1: put it into POLLER_SECRET_KEYS")


@pytest.mark.parametrize(("name", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
async def test_backup_and_restore_refuse_an_external_database(tmp_path: Path, name: str, program: str) -> None:
    machine = Machine(tmp_path / "one", POLLER_DATABASE_URL="postgresql://h/x", POLLER_SECRET_KEYS=KEYS)
    refused = await machine.poller(name, "backup.zip", code=2)
    assert refused.error.startswith("poller: POLLER_DATABASE_URL names a database of yours; use its own tools: ")
    assert program in refused.error
