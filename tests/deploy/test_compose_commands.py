"""Runs the commands of docker-compose.yml with the arguments, environment and secret files that it gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.request import Request, urlopen

from tests.command import KEYS
from tests.deploy.test_manifests import services
from tests.deploy.tools import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

API_KEY: Final = "0123456789abcdef0123456789abcdef"
_IN_CONTAINERS: Final = "/run/secrets/"


def secret_files(folder: Path, database_url: str) -> None:
    """The files of `deploy/compose/make-secrets`, for this database."""
    values = {"database_url": database_url, "secret_keys": KEYS, "api_key": API_KEY}
    for name, value in values.items():
        (folder / name).write_text(value, encoding="utf-8")
        (folder / name).chmod(0o444)


def environment(name: str, secrets: Path) -> dict[str, str]:
    """The environment of a service with secrets from this folder, on loopback instead of in a container's network."""
    given: Mapping[str, Any] = services()[name]["environment"]
    without_variables = {key: _default(str(value)) for key, value in given.items()}
    here = {key: value.replace(_IN_CONTAINERS, f"{secrets}/") for key, value in without_variables.items()}
    return here | {
        "POLLER_WEB_HOST": "127.0.0.1",
        "POLLER_WEB_PORT": "0",
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
    }


def _default(value: str) -> str:
    """`${NAME:-default}` without the variable."""
    return value.removesuffix("}").partition(":-")[2] if value.startswith("${") else value


def started(name: str, secrets: Path, empty: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "poller", *services()[name]["command"]]
    return subprocess.Popen(
        command, env=environment(name, secrets), cwd=empty, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def running(name: str, secrets: Path, empty: Path) -> Iterator[IO[str]]:
    """A service until it is told to stop; its log."""
    process = started(name, secrets, empty)
    assert process.stderr is not None
    try:
        yield process.stderr
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def served(log: IO[str]) -> str:
    """The address that a service logs."""
    for line in log:
        event = json.loads(line)
        if event["event"] == "web.served":
            return str(event["url"]).rstrip("/")
    raise AssertionError("the service ended")


def status(url: str, **headers: str) -> int:
    with urlopen(Request(url, headers=headers)) as reply:
        return int(reply.status)


def test_the_commands_of_compose_migrate_poll_and_serve_with_secrets_from_files(
    blank_database_url: str, tmp_path: Path
) -> None:
    secrets, empty = tmp_path / "secrets", tmp_path / "empty"
    secrets.mkdir()
    empty.mkdir()
    secret_files(secrets, blank_database_url)
    migration = started("migrate", secrets, empty)
    _, said = migration.communicate()
    assert migration.returncode == 0, said
    for name in ("poller", "web"):
        with running(name, secrets, empty) as log:
            url = served(log)
            assert status(f"{url}/healthz") == 200
            assert status(f"{url}/metrics", Authorization=f"Bearer {API_KEY}") == 200
    assert list(empty.iterdir()) == []


def test_the_script_makes_every_secret_once_and_keeps_what_exists(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "compose" / "make-secrets"
    script.parent.mkdir(parents=True)
    script.write_bytes((DEPLOY / "compose" / "make-secrets").read_bytes())
    script.chmod(0o755)
    made = subprocess.run([script], cwd="/", capture_output=True, text=True, check=False)
    if os.geteuid() != 0:
        assert (made.returncode, made.stderr) == (2, "run it as root: sudo deploy/compose/make-secrets\n")
        return
    assert made.returncode == 0, made.stderr
    files = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert files["database_password"] in files["database_url"]
    again = subprocess.run([script], cwd="/", capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == files
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o444}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
