from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_tree import commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

every_command = pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "poller")


@every_command
def test_a_usage_line_shows_arguments_as_they_are_typed(poller: Poller, path: list[str]) -> None:
    usage = poller(*path, "--help").out.split("\n\n")[0]
    words = " ".join(usage.split()).removeprefix(f"Usage: {' '.join(['poller', *path])} [OPTIONS]").split()
    assert all(re.fullmatch(r"\[[A-Z]+\](\.\.\.)?|[A-Z]+(\.\.\.)?", word) for word in words), usage


@every_command
@pytest.mark.parametrize("cells", [40, 80, 200])
def test_help_lines_fit_the_terminal_and_no_option_name_is_cut(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, path: list[str], cells: int
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    options = re.findall(r"^  (?:-h, )?(--[a-z-]+)", poller(*path, "--help").out, re.MULTILINE)
    monkeypatch.setenv("COLUMNS", str(cells))
    out = poller(*path, "--help").out
    assert re.findall(r"^  (?:-h, )?(--[a-z-]+)", out, re.MULTILINE) == options
    assert "--help" in options
    assert "…-" not in out
    assert not re.search(r"<(bool|str|int|float|path)>", out)
    # A word longer than the line is the only reason for a wider one.
    assert all(len(line) <= cells or " " not in line.strip() for line in out.splitlines())


def test_the_values_of_an_option_are_shown_with_their_bounds_and_default(poller: Poller) -> None:
    out = poller("simulate", "--help").out
    assert re.search(r"--port N +Of the first data centre; 0: any free one. \[0 to 65,535\]\s+\[default: 0\]", out)
    assert "--format table|csv|json" in poller("trend", "--help").out


def test_help_lists_each_command_with_a_complete_sentence(poller: Poller) -> None:
    lines = poller("--help").out.partition("Commands:\n")[2].splitlines()
    ends = [line for line, after in pairwise([*lines, "  x"]) if re.match(r"  \S", after)]
    assert [line for line in ends if not line.endswith(".")] == []


@pytest.mark.parametrize("command", [["trend"], ["orgs", "show"], ["orgs", "pause"], ["gaps"], ["poll"]])
def test_an_argument_that_begins_with_a_dash_gets_a_hint(poller: Poller, command: list[str]) -> None:
    for name in ("-Acme", "--Acme"):
        ended = poller(*command, name)
        assert ended.code == 2
        assert ended.error.endswith("; before a name that begins with - write --")
    assert "write --" not in poller("settings", "-x").error
