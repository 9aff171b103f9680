"""`poller settings`, and which database every command says it uses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from poller.settings import NAMES
from tests.command import KEYS, start
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]
    Process = Callable[..., Awaitable[Ended]]

NOBODY = 54_321
PASSWORD = "hunter2-hunter2"


def shown(ended: Ended) -> dict[str, tuple[str, str]]:
    assert ended.code == 0
    rows = map(json.loads, ended.out.splitlines())
    return {row["name"]: (row["value"], row["from"]) for row in rows}


def test_every_setting_is_shown_with_its_source_and_without_secrets(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    WITNESS.know(PASSWORD)
    env_file, key = tmp_path / "poller.env", tmp_path / "key"
    env_file.write_text("POLLER_POLL_INTERVAL=1h\nPOLLER_CONCURRENCY=8\n")
    key.write_text(f"{PASSWORD}-{PASSWORD}-key\n")
    for name, value in {
        "POLLER_CONCURRENCY": "16",
        "POLLER_DATABASE_URL": f"postgresql://poller:{PASSWORD}@db.example:6543/counts",
        "POLLER_SECRET_KEYS": KEYS,
        "POLLER_API_KEY_FILE": str(key),
        "POLLER_PROXY": f"http://proxy:{PASSWORD}@proxy.example:3128",
        "POLLER_NOTIFY_URLS": f"mailto://poller:{PASSWORD}@mail.example",
    }.items():
        monkeypatch.setenv(name, value)
    ended = poller("settings", "--json", "--env-file", str(env_file))
    rows = shown(ended)
    assert list(rows) == ["database", *NAMES]
    assert rows["database"] == ("database counts on db.example:6543", "environment")
    assert rows["POLLER_DATABASE_URL"] == ("postgresql://poller:…@db.example:6543/counts", "environment")
    assert rows["POLLER_POLL_INTERVAL"] == ("1h", str(env_file))
    assert rows["POLLER_CONCURRENCY"] == ("16", "environment")
    assert rows["POLLER_REQUEST_TIMEOUT"] == ("15s", "default")
    assert rows["POLLER_API_KEY"] == ("…", f"{key} (POLLER_API_KEY_FILE in the environment)")
    assert rows["POLLER_SECRET_KEYS"] == ("k1:…", "environment")
    assert rows["POLLER_PROXY"] == ("http://proxy:…@proxy.example:3128", "environment")
    assert rows["POLLER_NOTIFY_URLS"] == ("mailto://…", "environment")
    assert rows["POLLER_DAILY_RETENTION"] == ("forever", "default")
    assert "hunter2" not in ended.out + ended.err + poller("settings", "--env-file", str(env_file)).out


def test_showing_the_settings_of_the_embedded_database_creates_nothing(poller: Poller, tmp_path: Path) -> None:
    assert shown(poller("settings", "--json"))["database"] == (
        f"embedded PostgreSQL in {tmp_path / 'data'}",
        "environment",
    )
    assert list(tmp_path.iterdir()) == []


async def test_the_first_line_of_the_log_names_the_database(on_database: str) -> None:
    running = await start("run", environ={"POLLER_WEB_PORT": "0", "POLLER_LOG_FORMAT": "json"})
    try:
        first = json.loads(await running.stderr.readline())
    finally:
        await running.end()
    assert first["event"] == "database.used"
    name = on_database.rpartition("/")[2].partition("?")[0]
    assert first["database"].startswith(f"database {name} on ")


async def test_a_configured_port_that_is_taken_ends_the_service_with_one_line(
    process: Process, on_database: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await process("run", environ={"POLLER_WEB_PORT": port, "POLLER_LOG_LEVEL": "error"})
    assert ended.code == 1
    assert ended.error.startswith(f"poller: 127.0.0.1 port {port} cannot be listened at: ")
    assert "POLLER_WEB_PORT to a free port" in ended.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("orgs", "list"),
        ("orgs", "show", "Acme"),
        ("orgs", "check"),
        ("orgs", "pause", "Acme"),
        ("orgs", "remove", "Acme", "--yes"),
        ("poll",),
        ("trend",),
        ("gaps",),
        ("psql", "--", "-c", "SELECT 1"),
    ],
    ids=" ".join,
)
def test_a_read_only_command_creates_no_database(poller: Poller, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = poller(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.error == (
        f"poller: there is no database in {tmp_path / 'data'}; "
        "run `poller migrate` to make one, or correct POLLER_DATA_DIR or POLLER_DATABASE_URL"
    )
    assert list(tmp_path.iterdir()) == []


def test_migrate_check_creates_no_database_and_reports_pending_migrations(poller: Poller, tmp_path: Path) -> None:
    ended = poller("migrate", "--check")
    assert (ended.code, ended.out) == (1, "")
    assert ended.error == f"There is no database in {tmp_path / 'data'} yet; run `poller migrate` to make it."
    assert list(tmp_path.iterdir()) == []


LIBPQ = {
    "PGHOST": "nowhere.invalid",
    "PGPORT": "1",
    "PGUSER": "stranger",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "elsewhere",
    "PGSERVICE": "nothing",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nothing",
    "PGTARGETSESSIONATTRS": "standby",
    "PGOPTIONS": "-c nothing=1",
}


async def test_the_environment_variables_of_libpq_do_not_change_the_database(
    process: Process, on_database: str, tmp_path: Path
) -> None:
    reached = await process("migrate", "--check", environ=LIBPQ)
    assert (reached.code, reached.err[:28]) == (0, "The database is up to date, ")
    embedded = {"POLLER_DATABASE_URL": "", "POLLER_SECRET_KEYS": "", "POLLER_DATA_DIR": str(tmp_path / "data"), **LIBPQ}
    made = await process("migrate", environ=embedded)
    assert (made.code, made.err[:23]) == (0, "The database was empty,")
    asked = await process("psql", "--", "-tAc", "SELECT current_user", environ=embedded)
    assert (asked.code, asked.out) == (0, "poller\n")


HOMELESS = f"""
import os, sys
from poller.cli import run
run(["settings", "--json"])  # as root, so that every module is loaded: the new user may not read this checkout
print("-", flush=True)
os.setuid({NOBODY})
os.environ.pop("HOME", None)
del os.environ["POLLER_DATA_DIR"]
sys.exit(run(["settings", "--json"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that is in no list of users")
def test_a_user_without_a_home_folder_needs_one_only_for_the_embedded_database() -> None:
    def settings_of_nobody(**environ: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "-c", HOMELESS],
            env={"POLLER_DATA_DIR": "/nothing", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout.partition("-\n")[2], ended.stderr

    assert settings_of_nobody() == (
        2,
        "",
        "poller: POLLER_DATA_DIR: this user has no home folder to keep a database in; name a folder\n",
    )
    code, out, err = settings_of_nobody(POLLER_DATABASE_URL="postgresql://db/x", POLLER_SECRET_KEYS=KEYS)
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[0])["value"] == "database x on db:5432"
