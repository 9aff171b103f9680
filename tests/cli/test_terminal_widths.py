"""The output at a real terminal of any width: no line is wider, and colours can be turned off."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots
from tests.cli import one_after_the_other
from tests.command import KEYS, POLLER
from tests.postgres import cloned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime.now(UTC)
COMMANDS = (
    "status",
    "orgs list",
    "orgs show 'Acme International Holdings of Somewhere Ltd'",
    "trend",
    "trend Beta",
    "trend 'Acme International Holdings of Somewhere Ltd' --type ActiveUsers",
    "gaps",
    "doctor",
    "plan",
    "plan --what-if interval=1m,orgs=+2000000 --what-if orgs=+300,edition=zohooneenterprise",
)
WIDTHS = (40, 80, 200)
ONE_AFTER_THE_OTHER = Path(one_after_the_other.__file__)

Screens = dict[tuple[str, int], list[str]]


@pytest.fixture(scope="module")
def screens(server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """The lines of every command at every width."""
    home = tmp_path_factory.mktemp("home")
    with cloned(server_dsn, template) as dsn:
        asyncio.run(write_fleet(dsn))
        environ = {name: text for name, text in os.environ.items() if not name.startswith("POLLER_")}
        environ |= {"POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": KEYS, "POLLER_DATA_DIR": str(home / "data")}
        pairs = [(command, cells) for command in COMMANDS for cells in WIDTHS]
        text = shown([sys.executable, str(ONE_AFTER_THE_OTHER), json.dumps(pairs)], environ=environ, cwd=home)
    parts = text.split(one_after_the_other.END)
    assert parts.pop() == ""
    return {pair: part.splitlines() for pair, part in zip(pairs, parts, strict=True)}


async def write_fleet(dsn: str) -> None:
    """Three orgs with two months of daily polls, a few of which failed."""
    async with await connect(dsn) as database:
        names = ["Acme International Holdings of Somewhere Ltd", "Beta", "中文公司 有限责任公司"]
        await database.execute("INSERT INTO orgs (name, data_center) SELECT unnest($1::text[]), 'us'", names)
        ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs")]
        rows = []
        for day in range(60):
            slot = slot_of(NOW - timedelta(days=day, hours=2), 900)
            for org in ids:
                counts = dict.fromkeys(USER_TYPES, 1_000_000 - day * 1_000 + org)
                failed = day % 13 == 5
                rows.append(
                    Snapshot(org, slot, slot, Outcome.UNAVAILABLE, "http_503")
                    if failed
                    else Snapshot(org, slot, slot, Outcome.OK, counts=counts)
                )
        await write_snapshots(database, rows)


def shown(
    program: Sequence[str],
    *,
    cells: int = 80,
    stop_at: bytes = b"\0",
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> str:
    """The output of a program on a terminal `cells` wide; the program is stopped after it wrote `stop_at`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, cells, 0, 0))
    given = {name: text for name, text in environ.items() if name not in {"COLUMNS", "LINES"}} | {"TERM": "xterm"}
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=given, cwd=cwd) as process:
        os.close(theirs)
        read = b""
        while True:
            try:
                block = os.read(ours, 65_536)
            except OSError:
                break
            if not block:
                break
            read += block
            if stop_at in read:
                process.terminate()
                stop_at = b"\0"
    os.close(ours)
    return read.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_of_output_is_wider_than_the_terminal(screens: Screens, command: str) -> None:
    for cells in WIDTHS:
        lines = screens[command, cells]
        assert len(lines) > 1, lines
        wide = [line for line in lines if cell_len(line) > cells]
        # A single long word, such as an address, is left whole, to be copied.
        assert [line for line in wide if max(map(cell_len, line.split())) < cells // 2] == []


def test_a_table_uses_a_wider_terminal(screens: Screens) -> None:
    """The widths above differ in their output: a table uses the space it has."""
    widest = [max(map(cell_len, screens["orgs list", cells])) for cells in WIDTHS]
    assert widest == sorted(set(widest))


def test_the_newest_value_of_a_sparkline_is_visible_at_any_width(screens: Screens) -> None:
    for cells in WIDTHS:
        lines = screens["trend", cells]
        assert [line.split()[-1][-1] for line in lines[1:]] == ["█"] * 3, lines


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("command", ["--help", "status", "orgs list", "no-such-command"])
def test_the_variable_no_color_turns_colours_off(command: str) -> None:
    text = shown([*POLLER, *command.split()], environ=os.environ | {"NO_COLOR": "1"})
    assert text
    assert "\x1b" not in text


@pytest.mark.usefixtures("on_database")
def test_the_variable_no_color_turns_off_the_colours_of_the_service_log() -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*m")
    service = [*POLLER, "run", "--no-web"]
    log = {
        value: shown(service, stop_at=b"worker.started", environ=os.environ | {"NO_COLOR": value})
        for value in ("", "1")
    }
    assert "worker.stopped" in log["1"]
    assert coloured.search(log[""])
    assert not coloured.search(log["1"])
