"""Make `docs/demo.svg`: what `make demo` shows, in the colours and the width of a terminal (`make picture`)."""

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
# A picture must not fetch a font from anywhere when it is looked at.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
MOVES: Final = re.compile(r"\x1b\[[0-9;?]*[A-HJKhlsu]")
# Ports and folders are of this machine alone, and a bar that is full is gone.
PASSING: Final = ("A simulated Zoho listens", "The demo's PostgreSQL lives", "To look again", "history ")


def main() -> None:
    """Run the demo at a terminal of its own, and draw what was left standing on it."""
    shown = re.sub(r"\r\n?", "\n", MOVES.sub("", at_terminal("demo", "--polls", "3")))
    lines = [line for line in map(Text.from_ansi, shown.split("\n")) if not line.plain.startswith(PASSING)]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    console.print(Text("$ make demo", style="bold"))
    for line, before in zip(lines, [Text(), *lines], strict=False):
        if line.plain or before.plain:
            console.print(line, no_wrap=True, overflow="crop")
    console.save_svg(str(OUT), title="poller", code_format=FORMAT, unique_id="demo")


def at_terminal(*arguments: str) -> str:
    """What `poller` writes to a terminal."""
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
                except OSError:  # what Linux says when nobody is left on the other side
                    break
    os.close(ours)
    return seen.decode()


if __name__ == "__main__":
    main()
