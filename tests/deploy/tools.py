"""Programs that check files of `deploy/`: those of `make deploy-tools`, and some of Debian's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
_INSTALLED: Final = ROOT / ".venv" / "deploy-tools" / "bin"


def found(name: str) -> str | None:
    """The path of a program."""
    return shutil.which(name, path=str(_INSTALLED)) or shutil.which(name)


def needs(name: str, remedy: str = "make deploy-tools") -> pytest.MarkDecorator:
    """Skips a test where a program is not installed."""
    return pytest.mark.skipif(found(name) is None, reason=f"{name} is not installed: {remedy}")


def run(*command: str | Path, cwd: Path = ROOT) -> tuple[int, str]:
    """The exit code of a program, and all it printed."""
    program = found(str(command[0]))
    assert program is not None
    done = subprocess.run(
        [program, *map(str, command[1:])],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
