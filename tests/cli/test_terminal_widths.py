"""What people read, at a real terminal of any width: no line is wider, and nothing is coloured against their will."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots
from tests.command import POLLER

if TYPE_CHECKING:
    from collections.abc import Mapping

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
)


@pytest.fixture
def fleet(on_database: str) -> None:
    """Two orgs with two months of daily polls, a few of which failed."""

    async def write() -> None:
        async with await connect(on_database) as database:
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

    asyncio.run(write())


def at_terminal(command: str, cells: int, stop_at: bytes = b"\0", **environ: str) -> list[str]:
    """The lines that `poller` writes to a terminal of so many cells; it is told to stop once it wrote `stop_at`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, cells, 0, 0))
    given: Mapping[str, str] = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    line = f"exec {' '.join(POLLER)} {command}"
    with subprocess.Popen(
        ["/bin/sh", "-c", line], stdin=theirs, stdout=theirs, stderr=theirs, env={**given, "TERM": "xterm", **environ}
    ) as process:
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
    return read.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_wider_than_the_terminal(command: str) -> None:
    for cells in (40, 80, 200):
        lines = at_terminal(command, cells)
        assert len(lines) > 1, lines
        wide = [line for line in lines if cell_len(line) > cells]
        # A single long word, such as an address, is left whole, to be copied.
        assert [line for line in wide if max(map(cell_len, line.split())) < cells // 2] == []


@pytest.mark.usefixtures("fleet")
def test_the_newest_value_of_a_sparkline_is_seen_at_any_width() -> None:
    for cells in (40, 80, 200):
        lines = at_terminal("trend", cells)
        assert [line.split()[-1][-1] for line in lines[1:]] == ["█"] * 3, lines


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("command", ["--help", "status", "orgs list", "no-such-command"])
def test_no_color_is_kept(command: str) -> None:
    assert not any("\x1b" in line for line in at_terminal(command, 80, NO_COLOR="1"))


@pytest.mark.usefixtures("on_database")
def test_the_log_of_a_service_is_coloured_only_where_it_may_be() -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*m")
    lines = {
        value: "\n".join(at_terminal("run --no-web", 80, b"worker.started", NO_COLOR=value)) for value in ("", "1")
    }
    assert "worker.stopped" in lines["1"]
    assert coloured.search(lines[""])
    assert not coloured.search(lines["1"])
