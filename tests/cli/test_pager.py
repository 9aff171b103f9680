"""Long listings go through a pager at a real terminal, and nothing else does."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli import one_after_the_other, rows_command
from tests.cli.terminals import shown
from tests.command import POLLER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.command import Ended

SHORT_SCREEN: Final = {"LINES": "5"}
MARK: Final = "> "
"""What the pagers of these tests put before each line."""
PREFIXES: Final = f"""while IFS= read -r line; do printf '{MARK}%s\\n' "$line"; done\n"""


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that puts a mark before each line, and shows it as soon as it has it."""
    return script(tmp_path / "marks", PREFIXES)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o700)
    return str(path)


def settings_shown(*variables: Mapping[str, str | None], command: str = "settings") -> list[str]:
    """What a command shows on a screen of five lines, once for each of the variables."""
    runs = [(command, 80, {"NO_COLOR": "1", **SHORT_SCREEN, **given}) for given in variables]
    program = [sys.executable, one_after_the_other.__file__, json.dumps(runs)]
    return shown(program).split(one_after_the_other.END)[:-1]


def rows_shown(rows: int, before: int, pager: str, typed: bytes, once: bytes) -> str:
    """What a listing of numbers shows, if `typed` is typed once `once` is on the screen."""
    program = [sys.executable, rows_command.__file__, str(rows), str(before)]
    left = [typed]

    def type_once(terminal: int, text: bytes) -> None:
        if left and once in text:
            os.write(terminal, left.pop())

    return shown(program, lines=24, on_output=type_once, environ=os.environ | {"PAGER": pager, "NO_COLOR": "1"})


def test_only_a_listing_that_is_longer_than_the_screen_goes_through_the_pager(pager: str) -> None:
    paged, whole = settings_shown({"PAGER": pager}, {"PAGER": pager, "LINES": "500"})
    assert all(line.startswith(MARK) for line in paged.splitlines())
    assert paged.replace(MARK, "") == whole


def test_json_is_never_paged(pager: str) -> None:
    (text,) = settings_shown({"PAGER": pager}, command="settings --json")
    assert json.loads(text.splitlines()[0])["name"]


def test_without_a_pager_and_on_a_dumb_terminal_the_listing_is_printed_at_once(pager: str, tmp_path: Path) -> None:
    none = {"PAGER": "no-such-program", "PATH": str(tmp_path / "empty")}
    given = ({"PAGER": ""}, {"PAGER": "cat"}, {"PAGER": pager, "TERM": "dumb"}, none)
    for variables, text in zip(given, settings_shown(*given), strict=True):
        assert len(text.splitlines()) > 5, variables
        assert MARK not in text, variables


def test_less_is_the_pager_where_none_is_named_and_gets_the_options_that_colours_need(tmp_path: Path) -> None:
    script(tmp_path / "less", f'echo "less $* LESS=$LESS"\n{PREFIXES}')
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    unnamed, plain = settings_shown(
        {"PAGER": None, "PATH": path, "LESS": None}, {"PAGER": "less", "PATH": path, "LESS": None}
    )
    assert unnamed.startswith("less -FRX LESS=FRX\n> ")
    assert plain.startswith("less  LESS=FRX\n> ")


def test_the_first_screen_appears_before_the_last_row_is_read(pager: str) -> None:
    text = rows_shown(2_000, 1_500, pager, typed=b"\n", once=b"> 1400 ")
    assert "> 1999 " in text
    assert "exit code 0" in text


def test_leaving_the_pager_early_ends_the_command_without_an_error(tmp_path: Path) -> None:
    first = script(tmp_path / "first", "head -n 3\n")
    lines = rows_shown(1_000_000, 1_000_000, first, typed=b"", once=b"never").splitlines()
    assert [line.split()[0] for line in lines] == ["number", "0", "1", "exit"]
    assert lines[-1] == "exit code 0"


def test_leaving_the_pager_ends_a_command_that_waits_for_its_next_row(tmp_path: Path) -> None:
    first = script(tmp_path / "first", "head -n 3\n")
    assert rows_shown(2_000, 1_500, first, typed=b"", once=b"never").endswith("exit code 0\n")


@pytest.mark.parametrize("before", [1_500, 2_000])
def test_ctrl_c_in_the_pager_ends_the_command_without_an_error(tmp_path: Path, before: int) -> None:
    """While rows are read (the first), and when all are in the pager (the second)."""
    stays = script(tmp_path / "stays", "head -n 3; read -r key < /dev/tty\n")
    lines = rows_shown(2_000, before, stays, typed=b"\x03", once=b"1    ").splitlines()
    assert [line.split()[0] for line in lines if "^C" not in line][:3] == ["number", "0", "1"]
    assert lines[-1].endswith("exit code 0")


@pytest.mark.usefixtures("on_database")
def test_a_pipe_and_a_status_that_is_watched_are_never_paged(
    pager: str, poller: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PAGER": pager, **SHORT_SCREEN}.items():
        monkeypatch.setenv(name, value)
    assert not poller("settings").out.startswith(MARK)
    watched = shown([*POLLER, "status", "--watch"], lines=5, stop_at=b"queue", environ=os.environ)
    assert MARK not in watched
