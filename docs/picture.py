"""Draws `docs/demo.svg`, the output of `make demo` in a terminal (`make picture`)."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS: Final = 110
OUT: Final = Path(__file__).with_name("demo.svg")
# The picture must not download a font when it is displayed.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
MOVES: Final = re.compile(r"\x1b\[[0-9;?]*[A-HJKhlsu]")
# Lines left out of the picture: ports and folders of this machine, progress, and finished progress bars.
PASSING: Final = (
    "Dashboard: ", "Starting PostgreSQL", "A simulated Zoho listens", "The demo's PostgreSQL lives", "Writing ",
    "Forecasting, ", "history ", "To look again", "Seats and when they run out",
)  # fmt: skip


def main() -> None:
    """Runs the demo in a pseudo-terminal and draws its final output."""
    shown = re.sub(r"\r\n?", "\n", MOVES.sub("", at_terminal("demo", "--orgs", "12", "--polls", "3")))
    lines = [line for line in map(Text.from_ansi, shown.split("\n")) if not line.plain.startswith(PASSING)]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    console.print(Text('$ make demo DEMO="--orgs 12"', style="bold"))
    for line, before in zip(lines, [Text(), *lines], strict=False):
        if line.plain or before.plain:
            console.print(line, no_wrap=True, overflow="crop")
    console.save_svg(str(OUT), title="poller", code_format=FORMAT, unique_id="demo")


def at_terminal(*arguments: str) -> str:
    """Runs `poller` in a pseudo-terminal and returns its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    seen = b""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "POLLER_DATA_DIR": folder, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        with subprocess.Popen(
            [sys.executable, "-m", "poller", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
        ):
            os.close(theirs)
            while True:
                try:
                    seen += os.read(ours, 65_536)
                except OSError:  # Linux raises this when the other end is closed
                    break
    os.close(ours)
    return seen.decode()


if __name__ == "__main__":
    main()
