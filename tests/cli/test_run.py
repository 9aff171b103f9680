from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import typer

from poller import __version__
from poller.cli import COMMANDS, _end, _root, command_line
from poller.core.errors import DatabaseError, SettingsError, UsageError
from tests.cli.command_tree import commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

HEAVY = ("aiohttp", "asyncpg", "alembic", "sqlalchemy", "pydantic", "structlog", "cryptography", "uvloop", "orjson")


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "poller")
def test_every_help_shows_an_example(poller: Poller, path: list[str]) -> None:
    ended = poller(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Example: " in ended.out


@pytest.mark.parametrize("path", [[], ["orgs"]], ids=["poller", "poller orgs"])
def test_a_command_group_without_a_subcommand_shows_its_help_without_an_error(poller: Poller, path: list[str]) -> None:
    ended = poller(*path)
    assert (ended.code, ended.err) == (2, "")
    assert "Example: " in ended.out


@pytest.mark.parametrize("columns", ["60", "200"])
def test_help_text_is_wrapped_at_the_width_of_the_terminal(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERMINAL_WIDTH", columns)
    lines = poller("orgs", "import", "--help").out.splitlines()
    begin = next(place for place, line in enumerate(lines) if "Columns: " in line)
    end = next(place for place in range(begin, len(lines)) if not lines[place].strip())
    assert end - begin > 1
    for line, following in pairwise(lines[begin:end]):
        assert len(line.rstrip()) + len(following.split()[0]) >= int(columns) - 2, f"{line!r} ends too early"


def test_help_imports_no_heavy_module() -> None:
    script = f"""
import sys
from poller.cli import run
assert run(["--help"]) == 0
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["gaps"], ["orgs", "list"], ["seats"], ["anomalies"]],
    ids=" ".join,
)
@pytest.mark.usefixtures("on_database")
def test_read_only_commands_import_neither_the_http_client_nor_the_queue_nor_numpy(arguments: list[str]) -> None:
    script = f"""
import sys
from poller.cli import run
assert run({arguments!r}) == 0
print([name for name in ("aiohttp", "pgqueuer", "numpy", "alembic", "sqlalchemy") if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("on_database")
def test_the_database_checks_of_the_doctor_import_neither_the_worker_nor_the_http_client() -> None:
    script = """
import asyncio, sys
from poller.app import database_dsn
from poller.doctor.database import check_database
from poller.settings import check, read_sources
found = []
asyncio.run(check_database(check(read_sources(None)), database_dsn, found.append))
assert "twins" in [one.check for one in found], found
print([name for name in ("poller.worker", "aiohttp", "pgqueuer", "numpy") if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_a_command_imports_no_other_command() -> None:
    script = """
import sys
from poller.cli import run
assert run(["--env-file=/dev/null", "plan", "--help"]) == 0
print(sorted(name for name in sys.modules if name.startswith("poller.cli.commands.")))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "['poller.cli.commands.plan']"


def names_in(app: typer.Typer) -> set[str]:
    group: Any = typer.main.get_command(app)
    return set(group.commands)


def test_every_command_is_found_by_its_own_name() -> None:
    assert names_in(command_line()) == set(COMMANDS)
    for name in COMMANDS:
        assert name in names_in(command_line(name))


def test_the_option_version_prints_the_version(poller: Poller) -> None:
    assert poller("--version").out == f"poller {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--bogus"], "poller: No such option: --bogus; see `poller --help`"),
        (["pol"], "poller: No such command 'pol'"),
        (["orgs", "show"], "poller: no org is given; name orgs, or select them with --tag"),
        (["trend", "--format", "xml"], "poller: Invalid value for '--format'"),
        (["trend", "--since", "yesterday"], "poller: 'yesterday' is not a duration; write "),
        (["trend", "--since", "2026-13-01"], "poller: '2026-13-01' is not a date; write "),
        (["trend", "--since", "9999-01-01"], "poller: 9999-01-01 is not in the past; name "),
        (["trend", "--since", "99999y"], "poller: '99999y' is before all calendars; ask "),
        (["trend", "--every", "0d"], "poller: '0d' is not a duration; write "),
        (["trend", "--type", "Users"], "poller: 'Users' is not a user type; use one of AllUsers, "),
        (["trend", "--tz", "Mars/Base"], "poller: there is no time zone 'Mars/Base'; name "),
        (["trend", "--tz", "../etc/passwd"], "poller: there is no time zone "),
        (["orgs", "import", "nothing.csv"], "poller: nothing.csv cannot be read: No such file or directory; name "),
        (["orgs", "import", "orgs.xlsx"], "poller: orgs.xlsx is neither .csv nor .jsonl; name "),
        (
            ["orgs", "add", "Acme", "--grant", "password"],
            "poller: --grant password is not a kind of credential; use one of ",
        ),
        (["simulate", "--faults", "nothing.json"], "poller: nothing.json cannot be read: No such file"),
        (["simulate", "--write-orgs", "fleet.xlsx"], "poller: fleet.xlsx is neither .csv nor .jsonl; name "),
    ],
)
def test_a_usage_error_is_one_line_with_a_remedy_and_exit_code_2(
    poller: Poller, arguments: list[str], line: str
) -> None:
    ended = poller(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(line)
    assert "; " in ended.error


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("[{", "poller: faults.json: unexpected end of data"),
        ('[{"name": "nope"}]', "poller: faults.json: fault 1: there is no fault 'nope'; there are: count_string, "),
        (
            '[{"name": "html", "org": 99}]',
            "poller: faults.json: there is no org 99: the fleet has 50; correct faults.json",
        ),
        ('[{"name": "html", "org": "Acme"}]', "poller: faults.json: there is no org 'Acme'; correct faults.json"),
    ],
)
def test_an_invalid_script_of_faults_is_named_with_the_reason(
    poller: Poller, tmp_path: Path, script: str, line: str
) -> None:
    (tmp_path / "faults.json").write_text(script)
    ended = poller("simulate", "--faults", "faults.json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(line)


def test_a_fleet_file_that_cannot_be_written_is_not_reported_as_a_taken_port(poller: Poller) -> None:
    ended = poller("simulate", "--port", "0", "--write-orgs", "nowhere/fleet.csv")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error == (
        "poller: nowhere/fleet.csv cannot be written: No such file or directory; name a file in a folder of yours"
    )


def test_each_wrong_setting_is_reported_on_its_own_line(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_CONCURRENCY", "x")
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "y")
    ended = poller("poll")
    assert ended.code == 2
    assert [line.split(":")[1] for line in ended.err.splitlines()] == [" POLLER_POLL_INTERVAL", " POLLER_CONCURRENCY"]


def test_an_unknown_poller_variable_causes_a_warning(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_CONCURENCY", "4")
    monkeypatch.setenv("POLLER_DATABASE_URL", "postgresql://127.0.0.1:1/poller")
    monkeypatch.setenv("POLLER_SECRET_KEYS", "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q=")
    ended = poller("orgs", "list")
    warning, error = ended.err.splitlines()
    assert warning == "poller: warning: POLLER_CONCURENCY is not a setting; did you mean POLLER_CONCURRENCY?"
    assert error.startswith("poller: ")
    assert ended.code == 1


def test_the_bundled_psql_connects_only_to_the_embedded_database(poller: Poller, on_database: str) -> None:
    ended = poller("psql")
    assert ended.code == 2
    assert ended.error == "poller: POLLER_DATABASE_URL names a database of yours; open it with your own psql"
    assert on_database not in ended.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("this is wrong", "do that"), 2, "poller: this is wrong; do that"),
        (DatabaseError("it is\naway", "start it"), 1, "poller: it is away; start it"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (SystemExit(143), 143, ""),
        (
            ValueError("client_secret=4f1c9a7e5b\nor so"),
            1,
            "poller: unexpected ValueError: client_secret=[hidden] or so; this is a bug",
        ),
    ],
)
def test_every_error_has_its_exit_code_and_prints_at_most_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert _end(error) == code
    (printed,) = capsys.readouterr().err.splitlines() or [""]
    assert printed.startswith(line)
    assert bool(printed) == bool(line)


def test_of_several_errors_the_one_that_a_person_can_fix_is_reported() -> None:
    mendable = SettingsError("a", "b")
    assert _root(BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [mendable])])) is mendable
    first = ValueError()
    assert _root(BaseExceptionGroup("", [first, OSError()])) is first
