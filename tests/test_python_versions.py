"""The wheel with its locked packages on other versions of Python: `make versions`.

Each environment is new and empty, and its packages are downloaded if nothing is cached. That takes a minute or more, so
these tests run only if `POLLER_TEST_VERSIONS` is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from poller import __version__
from poller.simulator import Simulator, SimulatorOptions
from tests.command import KEYS
from tests.simulated_fleet import fleet_file
from tests.wheel import ROOT, build_wheel
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ASKED_FOR: Final = "POLLER_TEST_VERSIONS"
VERSIONS: Final = ("3.12", "3.13")
ORGS: Final = 3
_KEPT: Final = ("PIP_", "UV_", "SSL_CERT_", "PYENV_")
"""Variables of the installers, which also know where packages come from. Variables of this environment are dropped."""
_NO_INDEX: Final = ("failed to resolve", "name resolution", "dns error", "connect", "timed out")
"""Words of the installers where no package index is reachable. Every other error is one of our packages."""

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(ASKED_FOR), reason=f"installs every package again: make versions, or {ASKED_FOR}=1"
    ),
    pytest.mark.timeout(900),
]


def environment() -> dict[str, str]:
    """The environment variables of the installers and of the installed command."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT) or "proxy" in name.lower()}
    return kept | {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def interpreter(version: str) -> Path | None:
    """The interpreter of this version: in the PATH, or one of pyenv's."""
    name = f"python{version}"
    places = [place for place in (shutil.which(name),) if place]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        places.extend(sorted(map(str, Path(root).glob(f"versions/{version}.*/bin/{name}"))))
    say = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
    for place in places:
        said = subprocess.run([place, "-c", say], capture_output=True, text=True, check=False, env=environment())
        if said.returncode == 0:  # a name in the PATH may be pyenv's for a version that is not selected
            path, _, found = said.stdout.strip().rpartition(" ")
            assert found == version
            return Path(path)
    return None


def install(python: Path, folder: Path, wheel: Path) -> None:
    """Installs the locked packages and the wheel into a new environment, by uv if it is installed, else by pip."""
    into = folder / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        steps: list[list[str | Path]] = [[uv, "venv", "--quiet", "--python", python, folder]]
        pip: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", into]
    else:
        steps = [[python, "-m", "venv", folder]]
        pip = [into, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps.append([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"])
    steps.append([*pip, "--no-deps", wheel])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, env=environment(), cwd=folder.parent)
        if done.returncode != 0 and any(word in done.stderr.lower() for word in _NO_INDEX):
            pytest.skip(f"packages for {python.name} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Installed:
    """The command `poller` of an environment that has nothing else of this repository."""

    version: str
    folder: Path
    python: Path

    async def run(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> str:
        """Runs the command in an empty folder; returns what it printed."""
        cwd = self.folder / "elsewhere"
        cwd.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            self.python.with_name("poller"),
            *map(str, arguments),
            cwd=cwd,
            env=environment() | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        for text in (out, err):
            WITNESS.hear(f"poller {' '.join(map(str, arguments))} on Python {self.version}", text)
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=VERSIONS)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """The wheel, installed for one version of Python."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"Python {request.param} is not installed: neither python{request.param} in the PATH nor by pyenv")
    folder = tmp_path_factory.mktemp(f"python-{request.param}")
    install(python, folder / "environment", wheel)
    yield Installed(request.param, folder, folder / "environment" / "bin" / "python")
    shutil.rmtree(folder)


async def test_the_installed_command_says_its_version_and_the_version_of_python_is_the_one_asked_for(
    installed: Installed,
) -> None:
    assert await installed.run("--version") == f"poller {__version__}\n"
    assert f"python{installed.version}" in {path.name for path in (installed.folder / "environment/lib").iterdir()}


async def test_a_poller_from_the_wheel_migrates_its_own_database_and_polls_the_simulator(installed: Installed) -> None:
    async with Simulator(SimulatorOptions(orgs=ORGS)) as sim:
        WITNESS.know_simulator(sim)
        environ = {
            "POLLER_DATA_DIR": str(installed.folder / "data"),
            "POLLER_SECRET_KEYS": KEYS,
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
        }
        await installed.run("migrate", environ=environ)
        imported = await installed.run("orgs", "import", fleet_file(sim, installed.folder), environ=environ)
        assert imported == f"{ORGS} orgs: {ORGS} added, 0 changed, 0 same.\n"
        polled = await installed.run("poll", "--json", environ=environ)
        told = {line["org"]: line["counts"] for line in map(json.loads, polled.splitlines())}
        assert told == {org.name: sim.expected_counts(org.index) for org in sim.fleet()}
        assert sim.audit()["breaches"] == []
