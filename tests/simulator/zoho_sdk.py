"""Zoho's own Python SDK as an independent client, in a separate environment: `.venv/zoho-sdk/`.

`python -m tests.simulator.zoho_sdk` (`make sdk`) creates this environment, and so does the test that uses it. If the
SDK can be neither found nor installed, the test is skipped, except in continuous integration, where it fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / ".venv" / "zoho-sdk"
REQUIREMENTS = HERE / "requirements-sdk.txt"


class SdkMissingError(Exception):
    """Zoho's SDK is not installed and could not be installed."""


def sdk_python() -> Path:
    """The Python interpreter with the SDK, installed if necessary; raises `SdkMissingError` with the reason."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / ".installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    venv.create(ENVIRONMENT, with_pip=True, clear=True, symlinks=True)
    arguments = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
    (ENVIRONMENT / ".gitignore").write_text("*\n")
    done = subprocess.run(
        [python, "-m", "pip", "install", *arguments, "-r", REQUIREMENTS], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        raise SdkMissingError(f"Zoho's SDK could not be installed into {ENVIRONMENT.name}: {reason[-1]}")
    stamp.write_text(wanted)
    return python


def sdk_python_or_skip() -> Path:
    """The interpreter that has the SDK; without it the test is skipped, or fails in continuous integration."""
    try:
        return sdk_python()
    except SdkMissingError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{missing}; run 'make sdk' where packages can be had")


async def read_with_sdk(python: Path, orgs: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """What the SDK reads from each org; `zoho_sdk_driver` describes input and output."""
    driver = await asyncio.create_subprocess_exec(
        python,
        "-I",
        HERE / "zoho_sdk_driver.py",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "NO_PROXY": "*"},
    )
    out, err = await driver.communicate(json.dumps(list(orgs)).encode())
    assert driver.returncode == 0, err.decode()
    found = json.loads(out)
    assert isinstance(found, list)
    return found


if __name__ == "__main__":
    try:
        sdk_python()
    except SdkMissingError as missing:
        sys.exit(str(missing))
