"""The package as installed without its source tree: built, unpacked, and used to migrate a database."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.wheel import ROOT, build_wheel


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with only the content of the wheel."""
    made, site = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("site")
    zipfile.ZipFile(build_wheel(made)).extractall(site)
    return site


def test_a_wheel_contains_every_migration_module_template_and_static_file(unpacked: Path) -> None:
    for there, here in (("poller/migrations", ROOT / "migrations"), ("poller", ROOT / "poller")):
        wanted = {path.relative_to(here) for path in here.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        templates = {Path("web/templates/base.html"), Path("reports/templates/monthly.css")}
        assert templates <= wanted or here.name == "migrations"
        assert wanted - {path.relative_to(unpacked / there) for path in (unpacked / there).rglob("*")} == set()
    assert not [path for path in unpacked.rglob("*") if "tests" in path.relative_to(unpacked).parts]


def test_a_poller_installed_from_a_wheel_migrates_a_database(unpacked: Path, blank_database_url: str) -> None:
    code = (
        "import asyncio, sys; from poller.store import schema;"
        "asyncio.run(schema.upgrade(sys.argv[1])); print(schema.migrations_folder());"
        "print(asyncio.run(schema.check(sys.argv[1])).behind)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, blank_database_url],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [str(unpacked / "poller" / "migrations"), "False"]
