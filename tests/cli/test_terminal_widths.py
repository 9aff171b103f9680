"""The output at a real terminal of any width: no line is wider, verdicts have colours, and both can be turned off."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from rich.cells import cell_len

from poller.cli.output.help_texts import help_text
from tests.cli import one_after_the_other
from tests.cli.command_tree import command_group
from tests.cli.listed_fleet import LONG, NOW, write_fleet
from tests.cli.terminals import shown
from tests.command import KEYS, POLLER
from tests.postgres import cloned

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON: Final = f"Etc/GMT{NOW.hour - 12:+d}"
"""The time zone where it is noon: the last polls of the fleet, two hours ago, are of today there."""
LISTINGS: Final = {
    "access list": [""],
    "alerts digest": [""],
    "alerts history": [""],
    "alerts list": [""],
    "alerts rules exclusions": [""],
    "alerts rules list": [""],
    "alerts rules test": ["seats_used"],
    "anomalies": [""],
    "audit": [""],
    "doctor": [""],
    "export": ["--format csv --out counts --since 3d"],
    "forecast": [""],
    "gaps": ["", f"'{LONG}'"],
    "keys list": [""],
    "orgs check": [""],
    "orgs list": [""],
    "orgs show": [f"'{LONG}'"],
    "plan": ["", "--what-if interval=1m,orgs=+2000000 --what-if orgs=+300,edition=zohooneenterprise"],
    "poll": ["Beta"],
    "report": ["--out october.csv"],
    "seats": ["", "--by-tag", "set Beta --purchased 7"],
    "settings": [""],
    "status": [""],
    "trend": ["", f"--tz {NOON}", "Beta", f"'{LONG}' --type ActiveUsers"],
}
"""Every command that prints what it found, with the arguments it is tried with."""
OTHERS: Final = {
    *("access add", "access revoke", "alerts ack", "alerts rules add", "alerts rules exclude", "alerts rules remove"),
    *("alerts rules set", "alerts snooze", "alerts test", "backup", "demo", "keys rotate", "migrate", "orgs add"),
    *("orgs import", "orgs pause", "orgs remove", "orgs rename", "orgs restore", "orgs resume", "orgs set", "psql"),
    *("restore", "run", "simulate", "web"),
}
"""Commands that say in a sentence what they changed, or that run until they are stopped."""
COMMANDS: Final = [f"{command} {rest}".strip() for command, tries in LISTINGS.items() for rest in tries]
COLOURED: Final = {
    "access list": {"active", "unusable"},
    "alerts history": {"firing", "resolved"},
    "alerts list": {"firing", "critical", "warning"},
    "anomalies": {"critical", "warning"},
    "doctor": {"ok"},
    "keys list": {"encrypts"},
    "orgs list": {"failing: http_503"},
    "orgs show": {"late", "ok"},
    "status": {"failing", "late"},
}
"""Verdicts that each command shows in a colour at the widest terminal, among others."""
WIDTHS: Final = (40, 80, 200)
PLAIN_WIDTH: Final = 80
"""The width at which `NO_COLOR` is set."""
ONE_AFTER_THE_OTHER: Final = Path(one_after_the_other.__file__)
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
MOVE: Final = re.compile(r"\x1b\[[?0-9;]*[A-Zhl]|\r")
"""What a progress bar writes to draw itself again."""

Screens = dict[tuple[str, int], str]


@pytest.fixture(scope="module")
def screens(server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """What every command shows at every width."""
    home = tmp_path_factory.mktemp("home")
    with cloned(server_dsn, template) as dsn:
        asyncio.run(write_fleet(dsn))
        environ = {name: text for name, text in os.environ.items() if not name.startswith("POLLER_")}
        environ |= {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": KEYS, "POLLER_DATA_DIR": str(home / "data")}
        pairs = [(command, cells) for command in COMMANDS for cells in WIDTHS]
        runs = [(*pair, {"NO_COLOR": "1" if pair[1] == PLAIN_WIDTH else None}) for pair in pairs]
        text = shown([sys.executable, str(ONE_AFTER_THE_OTHER), json.dumps(runs)], environ=environ, cwd=home)
    parts = text.split(one_after_the_other.END)
    assert parts.pop() == ""
    return dict(zip(pairs, parts, strict=True))


def all_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that is not a group of others, by the words that a person types."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield " ".join(words), command
    for name, one in inner.items():
        yield from all_commands(one, (*words, name))


def too_wide(text: str, cells: int) -> list[str]:
    """The lines that are wider. A single long word, such as an address, is left whole, to be copied."""
    lines = [COLOUR.sub("", line) for part in MOVE.split(text) for line in part.splitlines()]
    return [line for line in lines if cell_len(line) > cells and max(map(cell_len, line.split())) < cells // 2]


def test_every_command_is_tried_at_every_width_or_known_to_list_nothing() -> None:
    commands = {name for name, _ in all_commands(command_group())}
    assert commands == set(LISTINGS) | OTHERS
    assert not set(LISTINGS) & OTHERS


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_of_output_is_wider_than_the_terminal(screens: Screens, command: str) -> None:
    for cells in WIDTHS:
        assert screens[command, cells].strip()
        assert too_wide(screens[command, cells], cells) == []


@pytest.mark.parametrize("cells", WIDTHS)
def test_no_line_of_any_help_is_wider_than_the_terminal(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(cells))
    main = command_group()
    for name, command in (("", main), *main.commands.items(), *all_commands(main)):
        text = help_text(command, command.make_context(f"poller {name}", [], resilient_parsing=True))
        assert "Options:" in text
        assert too_wide(text, cells) == [], name


def test_a_table_uses_a_wider_terminal(screens: Screens) -> None:
    """The widths above differ in their output: a table uses the space it has."""
    widest = [max(map(cell_len, COLOUR.sub("", screens["orgs list", cells]).splitlines())) for cells in WIDTHS]
    assert widest == sorted(set(widest))


def test_the_newest_value_of_a_sparkline_is_visible_at_any_width(screens: Screens) -> None:
    for cells in WIDTHS:
        lines = screens[f"trend --tz {NOON}", cells].splitlines()
        assert [line.split()[-1][-1] for line in lines[1:4]] == ["█", "█", "·"], lines


@pytest.mark.parametrize("command", COLOURED)
def test_verdicts_have_a_colour_at_a_terminal(screens: Screens, command: str) -> None:
    (given,) = (one for one in COMMANDS if one.startswith(command) and LISTINGS[command][0] in one)
    found = set(re.findall(r"\x1b\[[\d;]+m([^\x1b]+)\x1b\[0m", screens[given, WIDTHS[-1]]))
    missing = {verdict for verdict in COLOURED[command] if not any(one.startswith(verdict) for one in found)}
    assert not missing, found


@pytest.mark.parametrize("command", COMMANDS)
def test_no_listing_has_a_colour_if_no_color_is_set(screens: Screens, command: str) -> None:
    assert not COLOUR.search(screens[command, PLAIN_WIDTH])


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("command", ["--help", "status", "orgs list", "no-such-command"])
def test_the_variable_no_color_turns_colours_off(command: str) -> None:
    text = shown([*POLLER, *command.split()], environ=os.environ | {"NO_COLOR": "1"})
    assert text
    assert "\x1b" not in text


@pytest.mark.usefixtures("on_database")
def test_the_variable_no_color_turns_off_the_colours_of_the_service_log() -> None:
    service = [*POLLER, "run", "--no-web"]
    log = {
        value: shown(service, stop_at=b"worker.started", environ=os.environ | {"NO_COLOR": value})
        for value in ("", "1")
    }
    assert "worker.stopped" in log["1"]
    assert COLOUR.search(log[""])
    assert not COLOUR.search(log["1"])
